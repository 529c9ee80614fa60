"""Sending many conversations to two servers, and reporting where they differ."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.differential.conversations import Conversation, conversation
from tests.differential.exchange import Answers, hold
from tests.differential.free import judge

#: Conversations under way at the same time.
_AT_ONCE = 24


@dataclass(slots=True)
class Comparison:
    """The result: how many were alike, how many differ for which reason, and those that differ without a reason."""

    alike: int = 0
    free: Counter[str] = field(default_factory=Counter)
    found: list[tuple[int, Conversation, Answers, Answers]] = field(default_factory=list)
    held: list[tuple[int, Conversation, Answers, Answers]] = field(default_factory=list)


async def compare(ours: int, theirs: int, seed: int, numbers: Iterable[int]) -> Comparison:
    """Hold the conversations of these numbers with the servers on both ports."""
    comparison = Comparison()
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        made = conversation(seed, number)
        async with turn:
            pair = await asyncio.gather(hold(ours, made), hold(theirs, made))
            if judge(made, *pair) is None:
                # Once more: an answer that a busy machine lost must not count as a difference.
                pair = await asyncio.gather(hold(ours, made), hold(theirs, made))
        reason = judge(made, *pair)
        comparison.held.append((number, made, *pair))
        if reason == "":
            comparison.alike += 1
        elif reason is not None:
            comparison.free[reason] += 1
        else:
            comparison.found.append((number, made, *pair))

    numbers = list(numbers)
    for start in range(0, len(numbers), 1000):
        await asyncio.gather(*(one(number) for number in numbers[start : start + 1000]))
        if len(numbers) > 1:
            comparison.held.clear()
    return comparison


def report(comparison: Comparison, *, show_all: bool = False) -> str:
    """The comparison for people: each conversation that differs, with both sides' answers."""
    lines = []
    for number, made, ours, theirs in sorted(comparison.held if show_all else comparison.found, key=lambda one: one[0]):
        lines.append(f"conversation {number} ({'stepped' if made.stepped else 'at once'}, seed {made.seed}):")
        lines += [
            f"  {step}: {said}  {pdu.hex()[:160]}"
            for step, (said, pdu) in enumerate(zip(made.said, made.pdus, strict=True))
        ]
        lines += ["  half-closed" if made.half_close else "", "ours:", str(ours), "theirs:", str(theirs), ""]
    free = ", ".join(f"{count} {rule}" for rule, count in comparison.free.most_common())
    lines.append(f"{comparison.alike} alike; free: {free or 'none'}; {len(comparison.found)} differ")
    return "\n".join(lines)
