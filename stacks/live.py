"""What another stack makes, as an output here: the one way in which a value crosses from stack to stack."""

import asyncio
from concurrent.futures import Future
from typing import TypeVar

import pulumi

T = TypeVar("T")


def output(future: Future[T]) -> pulumi.Output[T]:
    """Only a resource that uses the output waits for the future; its failure fails those resources."""
    return pulumi.Output.from_input(_arrived(future))


async def _arrived(future: Future[T]) -> T:
    return await asyncio.wrap_future(future)
