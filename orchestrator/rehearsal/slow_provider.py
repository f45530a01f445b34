"""In front of a stand-in provider: creates, deletes and functions take their time, side by side."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from pulumi.provider.experimental.provider import (
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    InvokeRequest,
    InvokeResponse,
    Provider,
)

from orchestrator.rehearsal.latency import Kind, Latency, UnknownTimeError
from orchestrator.rehearsal.provider import RefusedError, type_of

T = TypeVar("T")


def slow(provider: Provider, latency: Latency) -> Provider:
    """The provider, as slow as ``latency`` says."""
    return provider if latency.is_none else cast("Provider", _SlowProvider(provider, latency))


class _SlowProvider:
    """What has no method here is the provider's own."""

    def __init__(self, provider: Provider, latency: Latency) -> None:
        self._provider = provider
        self._latency = latency

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def create(self, request: CreateRequest) -> CreateResponse:
        """A preview makes nothing, and takes no time."""
        if request.preview:
            return await self._provider.create(request)
        return await self._lasting("create", type_of(request), lambda: self._provider.create(request))

    async def delete(self, request: DeleteRequest) -> None:
        """Unmake the resource."""
        await self._lasting("delete", type_of(request), lambda: self._provider.delete(request))

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        """Call a function."""
        return await self._lasting("invoke", request.tok, lambda: self._provider.invoke(request))

    async def _lasting(self, kind: Kind, token: str, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._latency.lasting(kind, token, work)
        except UnknownTimeError as error:
            raise RefusedError(str(error)) from error
