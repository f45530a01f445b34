"""Stand-in Pulumi providers on the SDK's own provider base: strict, small, and driven by the real engine.

``PULUMI_DEBUG_PROVIDERS`` makes the engine attach to these instead of starting a plugin. What a stack registers is
checked against the SDK class that the real provider's schema generated (``schema.py``): a resource type that we do
not stand in for, an input that the class does not have, one that is missing, or one that we would ignore is refused
with the resource's name.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, ClassVar

from google.protobuf import struct_pb2
from pulumi.provider.experimental import property_value
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    InvokeRequest,
    InvokeResponse,
    PropertyDiff,
    PropertyDiffKind,
    Provider,
    ReadRequest,
    ReadResponse,
)
from pulumi.runtime import rpc

from orchestrator.rehearsal import schema

PropertyValue = property_value.PropertyValue
# Arguments of a provider that say where its resources are.
_PLACES = frozenset({"region", "project", "subscriptionId"})
# What a difference is called, by whether the old and the new inputs have it: in place, and when it replaces.
_KINDS = {
    (True, False): (PropertyDiffKind.DELETE, PropertyDiffKind.DELETE_REPLACE),
    (False, True): (PropertyDiffKind.ADD, PropertyDiffKind.ADD_REPLACE),
    (True, True): (PropertyDiffKind.UPDATE, PropertyDiffKind.UPDATE_REPLACE),
}
# Each provider resource of a stack has a connection of its own; its configuration must not reach another's.
connection: ContextVar[str] = ContextVar("connection")


class RefusedError(Exception):
    """The cloud, or our knowledge of it, says no. The text reaches the user through the engine."""


class HalfMadeError(RefusedError):
    """The cloud made the resource and refused the rest: the engine records it, so that a destroy finds it."""

    def __init__(self, reason: str, resource_id: str, outputs: dict[str, Any]) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.outputs = outputs


class ResourceType(ABC):
    """One resource type of one cloud: what it takes, and the calls that make and unmake it.

    ``configuration`` is what the stack gave to its provider resource, in camel case. Handlers run in threads.
    """

    known: ClassVar[frozenset[str]]
    """Paths of inputs that this stand-in acts on."""
    name_input: ClassVar[str | None] = None
    """The input that holds the physical name; the provider makes one up when the stack gives none."""
    from_provider: ClassVar[tuple[str, ...]] = ()
    """Inputs that are as the provider's argument of that name, when the stack gives none."""
    computed: ClassVar[tuple[str, ...]] = ()
    """Outputs that exist only after creation: unknown in a preview."""
    not_stored: ClassVar[tuple[str, ...]] = ()
    """Asset inputs: the engine keeps their hash, their contents never come back."""

    @property
    @abstractmethod
    def arguments(self) -> type:
        """The SDK's ``...Args`` class; a class attribute, unless loading the SDK's module takes long."""

    @abstractmethod
    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Make it; (id, computed outputs)."""

    @abstractmethod
    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """Whether the cloud still has it."""

    @abstractmethod
    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """Unmake it; one that is gone already is fine."""


class LiveType(ResourceType):
    """A type whose resources the cloud can describe by their id: they can be read, imported, and seen to change."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Inputs that a program may leave out, and what the cloud then has."""

    @abstractmethod
    def live(self, resource_id: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
        """Inputs and computed outputs as the cloud has them; None when it has no such resource."""

    def exists(self, resource_id: str, _state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """Whether there is anything to describe."""
        return self.live(resource_id, configuration) is not None


class ProviderFunction(ABC):
    """One function of one cloud's provider. Its arguments are text, all of them required."""

    required: ClassVar[frozenset[str]]

    @abstractmethod
    def call(self, arguments: dict[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
        """The function's result. Called in a thread."""


class StandInProvider(Provider):
    """A provider over tables of resource types and functions, keyed by the engine's token."""

    def __init__(
        self,
        resources: Mapping[str, ResourceType],
        configuration: Mapping[str, Callable[[str], Any]],
        functions: Mapping[str, ProviderFunction] | None = None,
    ) -> None:
        """``configuration`` reads each provider argument that is known: the SDK sends all of them as text."""
        self._resources = resources
        self._configuration = configuration
        self._functions = functions or {}
        self._configurations: dict[str, dict[str, Any]] = {}

    async def check_config(self, request: CheckRequest) -> CheckResponse:
        """Refuse provider arguments that the stand-in would ignore."""
        unknown = set(request.new_inputs) - set(self._configuration) - {"version"}
        failures = [
            CheckFailure(key, "the rehearsal's stand-in does not know this argument") for key in sorted(unknown)
        ]
        return CheckResponse(inputs=request.new_inputs, failures=failures)

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Keep the configuration for this connection.

        As the real providers, it takes no secrets, resources and outputs: the engine sends their plain values, and
        marks what comes back. https://github.com/pulumi/pulumi-terraform-bridge/blob/main/pkg/tfbridge/provider.go (of
        which aws and gcp are made),
        https://github.com/pulumi/pulumi-azure-native/blob/master/provider/pkg/provider/provider.go.
        """
        self._configurations[connection.get()] = {
            key: read(str(request.args[key].value)) for key, read in self._configuration.items() if key in request.args
        }
        return ConfigureResponse(supports_preview=True)

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Refuse what the SDK's class, or the stand-in, does not know; give what it has by default, a name above all.

        A name that was made up stays. For a replacement the engine asks again, without the old inputs.
        """
        kind = self._resources.get(type_of(request))
        if kind is None:
            raise RefusedError(f"the rehearsal has no stand-in for {type_of(request)} ({request.name})")
        inputs = {key: value for key, value in request.new_inputs.items() if value.value is not None}
        if kind.name_input and kind.name_input not in inputs:
            made_up = PropertyValue(f"{request.name}-{request.random_seed.hex()[:7]}")
            inputs[kind.name_input] = request.old_inputs.get(kind.name_input, made_up)
        configuration = self._configurations[connection.get()]
        for key in set(kind.from_provider) & set(configuration) - set(inputs):
            inputs[key] = _property(configuration[key])
        failures = [CheckFailure(*found) for found in schema.mistakes(kind.arguments, _plain_all(inputs), kind.known)]
        return CheckResponse(inputs=inputs, failures=failures)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Any change replaces: a run's stack lives once and is never updated.

        The old one goes first, because the physical names are ours. A provider is replaced, and its resources with it,
        when it is of another place and cannot manage what it made. ``old_state`` is the old inputs.
        """
        old, new = _plain_all(request.old_state), _plain_all(request.new_inputs)
        differing = sorted(key for key in set(old) | set(new) if old.get(key) != new.get(key))
        of_provider = request.type.startswith("pulumi:providers:")
        replaces = [key for key in differing if not of_provider or key in _PLACES]
        return DiffResponse(
            changes=bool(differing),
            replaces=replaces,
            delete_before_replace=not of_provider,
            diffs=differing,
            detailed_diff={
                key: PropertyDiff(_KINDS[key in old, key in new][key in replaces], input_diff=True) for key in differing
            },
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Make the resource, or in a preview say which outputs will come."""
        kind = self._resources[type_of(request)]
        stored = {key: value for key, value in request.properties.items() if key not in kind.not_stored}
        if request.preview:
            return CreateResponse(properties=stored | {key: PropertyValue(rpc.UNKNOWN) for key in kind.computed})
        try:
            resource_id, outputs = await self._call(kind.create, _plain_all(request.properties))
        except HalfMadeError as half_made:
            half_made.outputs = _plain_all(stored) | half_made.outputs
            raise
        if set(outputs) != set(kind.computed):
            raise AssertionError(f"{type_of(request)}: computed {sorted(outputs)}, declared {sorted(kind.computed)}")
        return CreateResponse(resource_id, stored | {key: _property(value) for key, value in outputs.items()})

    async def read(self, request: ReadRequest) -> ReadResponse:
        """What the cloud has, over what the state says; nothing if the cloud has it no more.

        Without a state (a program reads or imports the resource), a type must be one that the cloud can describe.
        """
        kind = self._resources.get(type_of(request))
        if kind is None:
            raise RefusedError(f"the rehearsal has no stand-in for {type_of(request)} ({request.name})")
        if not isinstance(kind, LiveType):
            state = _plain_all(request.properties)
            if not {*kind.computed, *schema.required(kind.arguments)} <= set(state):
                raise RefusedError(
                    f"not supported in rehearsal: to find a {type_of(request)} by its id ({request.resource_id})"
                )
            there = await self._call(kind.exists, request.resource_id, state)
            return ReadResponse(request.resource_id, request.properties, request.inputs) if there else ReadResponse()
        live = await self._call(kind.live, request.resource_id)
        if live is None:
            return ReadResponse()
        known = _plain_all(request.inputs)
        inputs = {
            key: value
            for key, value in live.items()
            if key not in kind.computed and (key in known or value != kind.defaults.get(key))
        }
        return ReadResponse(
            request.resource_id,
            _properties(_plain_all(request.properties) | inputs | {key: live[key] for key in kind.computed}),
            _properties(known | inputs),
        )

    async def delete(self, request: DeleteRequest) -> None:
        """Unmake the resource."""
        kind = self._resources[type_of(request)]
        await self._call(kind.delete, request.resource_id, _plain_all(request.properties))

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        """Call a function; refuse one that is not known, and arguments that it does not know or that are missing."""
        function = self._functions.get(request.tok)
        if function is None:
            raise RefusedError(f"the rehearsal has no stand-in for {request.tok}")
        arguments = _plain_all({key: value for key, value in request.args.items() if value.value is not None})
        failures = [
            *(
                (key, "the rehearsal's stand-in does not know this argument")
                for key in set(arguments) - function.required
            ),
            *((key, "missing: the function requires it") for key in function.required - set(arguments)),
            *(
                (key, f"expected str, got {type(arguments[key]).__name__}")
                for key in function.required & set(arguments)
                if not isinstance(arguments[key], str)
            ),
        ]
        if failures:
            return InvokeResponse(failures=[CheckFailure(*found) for found in sorted(failures)])
        result = await self._call(function.call, arguments)
        return InvokeResponse({key: _property(value) for key, value in result.items()})

    async def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(work, *arguments, self._configurations[connection.get()])


def type_of(request: CheckRequest | CreateRequest | DeleteRequest | ReadRequest) -> str:
    """The resource's own type; a URN has the types of its parents before it (``parent$child``)."""
    return request.type.rpartition("$")[2]


def _plain_all(values: Mapping[str, PropertyValue]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: PropertyValue) -> Any:
    """A Python value: whole numbers as int, unknown ones as ``schema.UNKNOWN``."""
    inner = value.value
    if inner == rpc.UNKNOWN:  # The SDK's PropertyValue.computed() can be neither read nor written.
        return schema.UNKNOWN
    if isinstance(inner, Mapping):
        return {key: _plain(item) for key, item in inner.items()}
    if isinstance(inner, tuple):
        return [_plain(item) for item in inner]
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    return inner


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Properties as they go to the engine."""
    return PropertyValue.marshal_map(_properties(values))


def _properties(values: Mapping[str, Any]) -> dict[str, PropertyValue]:
    """Without those that are None: what the cloud does not have."""
    return {key: _property(value) for key, value in values.items() if value is not None}


def _property(value: Any) -> PropertyValue:
    """The reverse of ``_plain``."""
    if isinstance(value, Mapping):
        return PropertyValue({key: _property(item) for key, item in value.items()})
    if isinstance(value, list):
        return PropertyValue([_property(item) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)
