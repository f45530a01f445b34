"""Serves a stand-in provider to the engine: the SDK's own gRPC surface, and what that leaves out.

The protocol is ``ResourceProvider`` in https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.provider.experimental.provider import Provider
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from orchestrator.rehearsal.provider import HalfMadeError, RefusedError, connection, to_struct

# Newer than any SDK asks for: the engine warns about an older plugin.
_VERSION = "99.0.0"
# How the engine marks a value that is an asset or an archive; the SDK has no public names for them.
_SIGNATURE, _ARCHIVE = rpc._special_sig_key, rpc._special_archive_sig  # noqa: SLF001
_ASSETS = (rpc._special_asset_sig, _ARCHIVE)  # noqa: SLF001


class _Servicer(ProviderServicer):
    """The SDK's servicer, for an engine that attaches. The methods' names are gRPC's."""

    async def Attach(self, _request: Any, _context: Any) -> empty_pb2.Empty:  # noqa: N802
        """The SDK's servicer is started by an engine, never attached to."""
        return empty_pb2.Empty()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Give assets back as they came: the SDK's ``PropertyValue`` loses their hash."""
        assets = _assets(request.news)
        response = await super().Check(request, context)
        for key in set(assets) & set(response.inputs.fields):
            response.inputs.fields[key].CopyFrom(assets[key])
        return response

    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Compare inputs with inputs, which the SDK's servicer does not hand on.

        Of an asset the engine sends the hash only, and the SDK cannot read such a one.
        """
        request.olds.CopyFrom(request.old_inputs)
        for properties in (request.olds, request.news):
            for field in properties.fields.values():
                if _is_asset(field):
                    field.string_value = field.struct_value.fields["hash"].string_value
        return await super().Diff(request, context)

    async def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """As ``Diff``: here the SDK's servicer has other numbers for changes and kinds than the protocol."""
        request.olds.CopyFrom(request.old_inputs)
        return await super().Diff(request, context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Keep assets out of the SDK's hands, and give them back as they came.

        Nothing at all is the answer for what is not there: the SDK's servicer has empty properties, and to the engine
        that is a resource without any.
        """
        assets = _assets(request.inputs)
        for key in assets:
            del request.inputs.fields[key]
        response = await super().Read(request, context)  # type: ignore[no-untyped-call]
        if not response.id:
            return provider_pb2.ReadResponse()
        for key, kept in assets.items():
            response.inputs.fields[key].CopyFrom(kept)
        return response


def _assets(properties: struct_pb2.Struct) -> dict[str, struct_pb2.Value]:
    """Copies of the properties that are assets or archives."""
    found = {key: struct_pb2.Value() for key, field in properties.fields.items() if _is_asset(field)}
    for key, kept in found.items():
        kept.CopyFrom(properties.fields[key])
    return found


def _is_asset(field: struct_pb2.Value) -> bool:
    signature = field.struct_value.fields.get(_SIGNATURE)
    return signature is not None and signature.string_value in _ASSETS


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


def half_made_status(reason: str, resource_id: str, properties: struct_pb2.Struct) -> grpc.Status:
    """An error with the resource that is there nevertheless."""
    made = provider_pb2.ErrorResourceInitFailed(id=resource_id, properties=properties, reasons=[reason])
    details = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason)
    details.details.add().Pack(made)
    status = grpc.Status()
    status.code = grpc.StatusCode.UNKNOWN
    status.details = reason
    status.trailing_metadata = (("grpc-status-details-bin", details.SerializeToString()),)
    return status


def _clearly(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Errors as one clear line, and as what they are."""

    async def answer(self: _Servicer, request: Any, context: Any) -> Any:
        connection.set(context.peer())
        for field in ("properties", "news", "olds"):
            _archives_by_path(getattr(request, field, None))
        try:
            return await method(self, request, context)
        except HalfMadeError as error:
            await context.abort_with_status(half_made_status(str(error), error.resource_id, to_struct(error.outputs)))
        except RefusedError as refusal:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refusal))

    return answer


def _unimplemented(name: str) -> Callable[..., Awaitable[Any]]:
    async def answer(_self: _Servicer, _request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the rehearsal's stand-ins do not implement {name}")

    return answer


for _name in ("CheckConfig", "DiffConfig", "Configure", "Check", "Diff", "Create", "Read", "Delete", "Invoke"):
    setattr(_Servicer, _name, _clearly(getattr(_Servicer, _name)))
for _name in (
    "Handshake", "Parameterize", "GetSchema", "GetMapping", "GetMappings", "List", "Update", "Construct", "Call",
):  # fmt: skip
    setattr(_Servicer, _name, _unimplemented(_name))


def servicer(provider: Provider) -> ProviderServicer:
    """What answers the engine for the provider."""
    return _Servicer([], _VERSION, provider, "")


async def serve(servicer: Any, port: int = 0) -> tuple[grpc.aio.Server, int]:
    """Start a server on that loopback port, or on a free one; (server, port)."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 400 * 1024 * 1024)])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, port
