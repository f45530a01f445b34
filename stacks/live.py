"""The one way in which a value crosses from stack to stack: what others made comes in, our outputs go out."""

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import pulumi

from stacks.contracts import ComputeOutputs, DataOutputs

T = TypeVar("T")
Outputs = TypeVar("Outputs", DataOutputs, ComputeOutputs)


def output(future: Future[T]) -> pulumi.Output[T]:
    """Only a resource that uses the output waits for the future; its failure fails those resources."""
    return pulumi.Output.from_input(_arrived(future))


def hand_over(made: pulumi.Output[Outputs], future: Future[Outputs]) -> None:
    """Set the future the moment that the outputs are known, with the resources that they had to wait for."""

    async def known(outputs: Outputs) -> Any:
        urns = [await resource.urn.future() for resource in await made.resources()]
        future.set_result(replace(outputs, needs=frozenset(filter(None, urns))))

    made.apply(known)


async def _arrived(future: Future[T]) -> T:
    return await asyncio.wrap_future(future)
