"""What goes in and out at a rehearsed function's front door."""

import http.client
from collections.abc import Iterator

import pytest

from orchestrator.rehearsal.front_door import Answer, Listener, Request


@pytest.fixture
def asked() -> list[Request]:
    return []


@pytest.fixture
def connection(asked: list[Request]) -> Iterator[http.client.HTTPConnection]:
    """To a door that answers all with two cookies."""

    def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer(200, {"X-Mine": "1"}, b"hello", ("a=1", "b=2"))

    listener = Listener(answer)
    connection = http.client.HTTPConnection(listener.address, timeout=10)
    yield connection
    connection.close()
    listener.close()


def test_headers_of_one_name_are_one(connection: http.client.HTTPConnection, asked: list[Request]) -> None:
    connection.putrequest("GET", "/a?b=1")
    for value in ("1", "2"):
        connection.putheader("X-Mine", value)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.read(), answer.getheader("Content-Length"), answer.headers.get_all("Set-Cookie")) == (
        b"hello",
        "5",
        ["a=1", "b=2"],
    )
    assert asked[0].headers["x-mine"] == "1,2"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"])
def test_methods(connection: http.client.HTTPConnection, asked: list[Request], method: str) -> None:
    connection.request(method, "/")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("X-Mine")) == (200, "1")
    assert answer.read() == (b"" if method == "HEAD" else b"hello")
    assert [request.method for request in asked] == [method]


def test_a_body_without_its_length_is_refused(connection: http.client.HTTPConnection, asked: list[Request]) -> None:
    connection.putrequest("POST", "/")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()  # And no more: the refusal does not wait for it.
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (501, b"not supported in rehearsal: Transfer-Encoding: chunked")
    assert asked == []
