"""A part of the matrix that has something of everything: always the same part."""

import random
from collections import Counter
from collections.abc import Sequence

from orchestrator.drill.matrix import Fault

_SEED = 6


def sample(faults: Sequence[Fault], size: int) -> list[Fault]:
    """So many of them, in their order.

    First every effect of every kind, then every kind on every cloud, then every effect there, then every place; what is
    left over goes to the effects, and then the places, that have had the least.
    """
    drawn = list(faults)
    random.Random(_SEED).shuffle(drawn)  # noqa: S311 - a drill is to be the same each time
    chosen: list[Fault] = []
    had: Counter[tuple[str, ...]] = Counter()

    def turn(fault: Fault) -> tuple[int, ...]:
        effect, kind, on_cloud, place = (had[group] for group in _groups(fault))
        return min(effect, 1), min(kind, 1), min(on_cloud, 1), min(place, 1), on_cloud, place

    while drawn and len(chosen) < size:
        following = min(drawn, key=turn)
        drawn.remove(following)
        chosen.append(following)
        had.update(_groups(following))
    return sorted(chosen, key=lambda fault: fault.number)


def _groups(fault: Fault) -> tuple[tuple[str, ...], ...]:
    """Its effect, its kind on its cloud, its effect and its place there."""
    return (
        ("effect", fault.kind, fault.effect),
        ("kind on a cloud", fault.kind, fault.cloud),
        ("effect on a cloud", fault.kind, fault.effect, fault.cloud),
        ("place", fault.kind, fault.where, fault.cloud),
    )
