"""A cloud's plugin that fails as it is told: what the engine asks goes through here to the stand-in provider.

It can die, too: then its server is gone with all calls that it had, and a new one, which knows nothing, listens at the
same address, as when the next CLI starts its plugin.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from pulumi.provider.experimental.provider import Provider

from orchestrator.rehearsal.faults import Cloud, Fault, Faults, Operation
from orchestrator.rehearsal.provider_server import half_made_status, serve, servicer

_BUSY = {
    "aws": "operation error {type}: https response error StatusCode: 503, RequestID: REHEARSAL, api error "
    "ServiceUnavailable: The request has failed due to a temporary failure of the server.",
    "azure": 'Status=503 Code="ServiceUnavailable" Message="The service is temporarily unavailable. Try again later."',
    "gcp": "googleapi: Error 503: We encountered an internal error. Please try again., backendError",
}
"""What a delete is refused with: it passes."""
_REFUSED = {
    "aws": "operation error {type}: https response error StatusCode: 403, RequestID: REHEARSAL, api error "
    "AccessDenied: the rehearsal was told to refuse this.",
    "azure": 'Status=403 Code="RequestDisallowedByPolicy" Message="The rehearsal was told to refuse this."',
    "gcp": "googleapi: Error 403: The rehearsal was told to refuse this., forbidden",
}
_GONE = "error reading from server: EOF"
_LAST_WORDS_SECONDS = 1.0
"""For the calls that a plugin had when it died to end with it."""
_NOT_THERE = 'connection error: desc = "transport: Error while dialing: dial tcp: connect: connection refused"'
# What needs a plugin that was configured.
_CONFIGURED = ("Check", "Diff", "Create", "Read", "Delete", "Invoke")


class FaultyPlugin:
    """One cloud's plugin, at the same ``port`` as long as the clouds stand."""

    def __init__(self, cloud: Cloud, provider: Callable[[], Provider], faults: Faults) -> None:
        self._cloud = cloud
        self._provider = provider
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._dying: set[asyncio.Task[None]] = set()
        self._server: grpc.aio.Server
        self._servicer: _FaultyServicer
        self.port = 0

    @classmethod
    async def start(cls, cloud: Cloud, provider: Callable[[], Provider], faults: Faults) -> "FaultyPlugin":
        """Listen; ``provider`` makes a new stand-in provider for each life of the plugin."""
        plugin = cls(cloud, provider, faults)
        await plugin._serve()
        return plugin

    async def stop(self) -> None:
        """Break all calls and listen no more."""
        await self._server.stop(0)

    def kill(self) -> None:
        """Let it die now, and be there anew when this returns. To be called from another thread than the loop's."""
        asyncio.run_coroutine_threadsafe(self._die(), self._loop).result()

    def _dies(self) -> None:
        """In the middle of a call."""
        task = asyncio.create_task(self._die())
        self._dying.add(task)
        task.add_done_callback(self._dying.discard)

    async def _die(self) -> None:
        # The new one listens first: gRPC shares ports, so that nobody else can take this one in between.
        server, servicer = self._server, self._servicer
        await self._serve()
        servicer.dead.set()
        await server.stop(_LAST_WORDS_SECONDS)

    async def _serve(self) -> None:
        self._servicer = _FaultyServicer(servicer(self._provider()), self._cloud, self._faults, self._dies)
        self._server, self.port = await serve(self._servicer, self.port)


class _FaultyServicer:
    """One life of the plugin: in front of a stand-in provider's servicer, whose methods have gRPC's names."""

    def __init__(self, inner: Any, cloud: Cloud, faults: Faults, dies: Callable[[], None]) -> None:
        self._inner = inner
        self._cloud = cloud
        self._faults = faults
        self._dies = dies
        self._connections: set[str] = set()
        self.dead = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        own = {"Configure": self._configure, "Create": self._create, "Delete": self._delete}
        return self._while_it_lives(own.get(name) or getattr(self._inner, name), configured=name in _CONFIGURED)

    def _while_it_lives(self, method: Callable[..., Any], *, configured: bool) -> Callable[..., Any]:
        async def answer(request: Any, context: Any) -> Any:
            if configured and context.peer() not in self._connections:
                # An engine whose plugin died finds no other: that it reaches a new one here must not help it.
                await context.abort(grpc.StatusCode.UNAVAILABLE, _NOT_THERE)
            call, death = asyncio.ensure_future(method(request, context)), asyncio.ensure_future(self.dead.wait())
            try:
                await asyncio.wait((call, death), return_when=asyncio.FIRST_COMPLETED)
                if not call.done():
                    await context.abort(grpc.StatusCode.UNAVAILABLE, _GONE)
                return call.result()
            finally:  # The engine may have given up, too: then we are cancelled, and with us what has not begun.
                call.cancel()
                death.cancel()

        return answer

    async def _configure(self, request: Any, context: Any) -> Any:
        """From now on the connection is one of this plugin's."""
        self._connections.add(context.peer())
        return await self._inner.Configure(request, context)

    async def _create(self, request: Any, context: Any) -> Any:
        fault = None if request.preview else self._fault(request.urn, "create")
        if fault is None:
            return await self._inner.Create(request, context)
        await self._before(fault, _REFUSED, request.urn, context)
        made = await self._inner.Create(request, context)
        if fault.effect == "half made":
            reason = f"creating {request.urn.rpartition('::')[2]}: the rehearsal was told to make it by half"
            await context.abort_with_status(half_made_status(reason, made.id, made.properties))
        await self._after(fault, context)
        return made

    async def _delete(self, request: Any, context: Any) -> Any:
        fault = self._fault(request.urn, "delete")
        if fault is None:
            return await self._inner.Delete(request, context)
        await self._before(fault, _BUSY, request.urn, context)
        gone = await self._inner.Delete(request, context)
        await self._after(fault, context)
        return gone

    def _fault(self, urn: str, operation: str) -> Fault | None:
        return self._faults.of_operation(Operation(*_type_and_name(urn), operation))

    async def _before(self, fault: Fault, words: dict[str, str], urn: str, context: Any) -> None:
        if fault.effect == "fails":
            kind, _ = _type_and_name(urn)
            await context.abort(grpc.StatusCode.UNKNOWN, words[self._cloud].format(type=kind))
        if fault.effect == "hangs":
            # Shielded: this call's end, when the engine gives up, is not the fault's.
            await asyncio.shield(asyncio.wrap_future(fault.lifted))
            await context.abort(grpc.StatusCode.UNAVAILABLE, _GONE)

    async def _after(self, fault: Fault, context: Any) -> None:
        if fault.effect == "answer lost":
            await context.abort(grpc.StatusCode.UNAVAILABLE, _GONE)
        if fault.effect == "plugin killed":
            self._dies()
            await asyncio.Event().wait()  # Until it is dead.


def _type_and_name(urn: str) -> tuple[str, str]:
    """Of ``urn:pulumi:stack::project::parent$type::name``; the name may have colons, too."""
    kinds, _, name = urn.split("::", 2)[2].partition("::")
    return kinds.rpartition("$")[2], name
