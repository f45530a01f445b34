"""A destroy that has started, and waits in front of its first delete.

Half a second of a destroy is the CLI's own start and the key of its secrets. Before it deletes anything, it asks the
program's language host which packages the program needs; the answer does not matter to it (a failure, as when we are
killed meanwhile, is no answer, and it goes on):
https://github.com/pulumi/pulumi/blob/v3.250.0/pkg/engine/destroy.go

A CLI that did not ask would delete at once. So this is for the version that the tests run with: ``Cli.is_the_sdks``.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from pulumi.runtime.proto import LanguageRuntimeServicer, language_pb2, language_pb2_grpc


class _Host(LanguageRuntimeServicer):
    def __init__(self, opened: threading.Event) -> None:
        self._opened = opened

    def GetRequiredPackages(  # noqa: N802 - gRPC's name
        self, _request: language_pb2.GetRequiredPackagesRequest, _context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        self._opened.wait()
        return language_pb2.GetRequiredPackagesResponse()


@contextmanager
def gate(opened: threading.Event) -> Iterator[str]:
    """The address of a language host that answers once ``opened`` is set: ``127.0.0.1:12345``."""
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(_Host(opened), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0)
