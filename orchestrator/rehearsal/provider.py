"""Stand-in Pulumi providers on the SDK's own provider base: strict, small, and driven by the real engine.

``PULUMI_DEBUG_PROVIDERS`` makes the engine attach to these instead of starting a plugin. What a stack registers is
checked against the SDK class that the real provider's schema generated (``schema.py``): a resource type that we do
not stand in for, an input that the class does not have, one that is missing, or one that we would ignore is refused
with the resource's name.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, ClassVar

import grpc
from google.protobuf import empty_pb2, struct_pb2
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
    Provider,
    ReadRequest,
    ReadResponse,
)
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2_grpc

from orchestrator.rehearsal import schema

PropertyValue = property_value.PropertyValue
# Newer than any SDK asks for: the engine warns about an older plugin.
_VERSION = "99.0.0"
# How the engine marks a value that is an archive.
_SIGNATURE, _ARCHIVE = rpc._special_sig_key, rpc._special_archive_sig  # noqa: SLF001 - the SDK has no public name for them
# Each provider resource of a stack has a connection of its own; its configuration must not reach another's.
_connection: ContextVar[str] = ContextVar("connection")


class RefusedError(Exception):
    """The cloud, or our knowledge of it, says no. The text reaches the user through the engine."""


class ResourceType(ABC):
    """One resource type of one cloud: what it takes, and the calls that make and unmake it.

    ``configuration`` is what the stack gave to its provider resource, in camel case. Handlers run in threads.
    """

    known: ClassVar[frozenset[str]]
    """Paths of inputs that this stand-in acts on."""
    name_input: ClassVar[str | None] = None
    """The input that holds the physical name; the provider makes one up when the stack gives none."""
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
        """Keep the configuration for this connection."""
        self._configurations[_connection.get()] = {
            key: read(str(request.args[key].value)) for key, read in self._configuration.items() if key in request.args
        }
        return await super().configure(request)

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Refuse what the SDK's class, or the stand-in, does not know; make up a name where there is none."""
        kind = self._resources.get(request.type)
        if kind is None:
            raise RefusedError(f"the rehearsal has no stand-in for {request.type} ({request.name})")
        inputs = {key: value for key, value in request.new_inputs.items() if value.value is not None}
        if kind.name_input and kind.name_input not in inputs:
            inputs[kind.name_input] = PropertyValue(f"{request.name}-{request.random_seed.hex()[:7]}")
        plain = {key: _plain(value) for key, value in inputs.items()}
        failures = [CheckFailure(*found) for found in schema.mistakes(kind.arguments, plain, kind.known)]
        return CheckResponse(inputs=inputs, failures=failures)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Any change replaces: a run's stack lives once and is never updated."""
        kind = self._resources[request.type]
        compared = set(request.new_inputs) - set(kind.not_stored)
        changed = sorted(key for key in compared if request.old_state.get(key) != request.new_inputs[key])
        return DiffResponse(changes=bool(changed), replaces=changed, delete_before_replace=True)

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Make the resource, or in a preview say which outputs will come."""
        kind = self._resources[request.type]
        stored = {key: value for key, value in request.properties.items() if key not in kind.not_stored}
        if request.preview:
            return CreateResponse(properties=stored | {key: PropertyValue(rpc.UNKNOWN) for key in kind.computed})
        inputs = {key: _plain(value) for key, value in request.properties.items()}
        resource_id, outputs = await self._call(kind.create, inputs)
        if set(outputs) != set(kind.computed):
            raise AssertionError(f"{request.type}: computed {sorted(outputs)}, declared {sorted(kind.computed)}")
        return CreateResponse(resource_id, stored | {key: _property(value) for key, value in outputs.items()})

    async def read(self, request: ReadRequest) -> ReadResponse:
        """What the state says if the cloud still has it; nothing otherwise."""
        kind = self._resources[request.type]
        state = {key: _plain(value) for key, value in request.properties.items()}
        if not await self._call(kind.exists, request.resource_id, state):
            return ReadResponse()
        return ReadResponse(request.resource_id, request.properties, request.inputs)

    async def delete(self, request: DeleteRequest) -> None:
        """Unmake the resource."""
        state = {key: _plain(value) for key, value in request.properties.items()}
        await self._call(self._resources[request.type].delete, request.resource_id, state)

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        """Call a function; refuse one that is not known, and arguments that it does not know or that are missing."""
        function = self._functions.get(request.tok)
        if function is None:
            raise RefusedError(f"the rehearsal has no stand-in for {request.tok}")
        arguments = {key: _plain(value) for key, value in request.args.items() if value.value is not None}
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
        return await asyncio.to_thread(work, *arguments, self._configurations[_connection.get()])


class _Servicer(ProviderServicer):
    """The gRPC surface: attaching to a provider that runs already, and errors as one clear line."""

    # The names are gRPC's, the SDK's servicer has neither method.
    async def Attach(self, _request: Any, _context: Any) -> empty_pb2.Empty:  # noqa: N802
        return empty_pb2.Empty()

    async def Handshake(self, _request: Any, context: Any) -> None:  # noqa: N802
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Handshake")


def _archives_by_path(value: Any) -> None:
    """Leave each file archive its path only.

    The engine sends an empty ``assets`` along, and the SDK's ``PropertyValue`` then takes it for an archive of nothing.
    """
    if isinstance(value, struct_pb2.Struct):
        signature = value.fields.get(_SIGNATURE)
        if signature and signature.string_value == _ARCHIVE and "path" in value.fields:
            value.fields.pop("assets", None)
        for field in list(value.fields.values()):
            _archives_by_path(field.struct_value if field.HasField("struct_value") else field.list_value)
    elif isinstance(value, struct_pb2.ListValue):
        for item in value.values:
            _archives_by_path(item.struct_value if item.HasField("struct_value") else item.list_value)


def _clearly(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def answer(self: _Servicer, request: Any, context: Any) -> Any:
        _connection.set(context.peer())
        for field in ("properties", "news", "olds"):
            _archives_by_path(getattr(request, field, None))
        try:
            return await method(self, request, context)
        except RefusedError as refusal:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refusal))

    return answer


for _name in ("CheckConfig", "Configure", "Check", "Diff", "Create", "Read", "Delete", "Invoke"):
    setattr(_Servicer, _name, _clearly(getattr(ProviderServicer, _name)))


async def serve(provider: Provider) -> tuple[grpc.aio.Server, int]:
    """Start a server for the provider on a free loopback port; (server, port)."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 400 * 1024 * 1024)])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(_Servicer([], _VERSION, provider, ""), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


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


def _property(value: Any) -> PropertyValue:
    """The reverse of ``_plain``."""
    if isinstance(value, Mapping):
        return PropertyValue({key: _property(item) for key, item in value.items()})
    if isinstance(value, list):
        return PropertyValue([_property(item) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)
