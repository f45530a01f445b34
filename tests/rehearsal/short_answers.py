"""Answers that break off: a listener's, whose header says more than comes."""

from typing import Any


def shortened(door: Any, missing: int) -> Any:
    """The class of a listener's request handlers, saying of each answer that it is so many bytes longer."""

    class Short(door):  # type: ignore[misc]
        def send_header(self, name: str, value: str) -> None:
            super().send_header(name, str(int(value) + missing) if name == "Content-Length" else value)

    return Short
