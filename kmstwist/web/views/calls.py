"""Calls: single ones, and what was refused, each kind once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic import Field

from kmstwist.audit.views.calls import CallRow, Which, latest_calls
from kmstwist.audit.views.refusals import Meaning, MetRow, RefusalRow, meaning_of, met, refusals
from kmstwist.web.view import Asking, NotThere, View
from kmstwist.web.views.parameters import PIECE, ROWS, Between, Flag, Named, Paged, Since


class CallsQuestion(Between):
    """Which calls."""

    machine: str = Field("", max_length=300, description="Of this machine.")
    host: str = Field("", max_length=300, description="Answered by this KMS host.")
    product: str = Field("", max_length=300, description="For this product; * stands for any text.")
    code: str = Field("", max_length=40, description="That ended with this code.", examples=["0xC004F038"])
    failed: Flag = Field(False, description="Only those that were not granted.")
    before: int | None = Field(None, ge=0, le=2**62, description="The calls before this one: `seq` of the last row.")
    rows: int = Field(ROWS, ge=1, le=500, description="How many rows a page has.")


@dataclass(frozen=True, slots=True)
class Calls:
    """A page of calls, the latest first; `earlier` is what to ask `before` for the next page, None on the last."""

    rows: Sequence[CallRow]
    earlier: int | None


def calls(asking: Asking, question: CallsQuestion) -> Calls:
    """One page."""
    found = latest_calls(asking.connection, _which(question, asking), question.rows + 1, question.before)
    shown = found[: question.rows]
    return Calls(shown, shown[-1].seq if len(found) > len(shown) else None)


def _which(question: CallsQuestion, asking: Asking) -> Which:
    since, until = question.times(asking.now)
    return Which(
        since=since,
        until=until,
        machine=question.machine,
        host=question.host,
        product=question.product,
        code=question.code,
        only_failed=question.failed,
    )


def _call_pieces(asking: Asking, question: CallsQuestion, after: Sequence[str]) -> tuple[list[CallRow], list[str]]:
    before = int(after[0]) if after else question.before
    found = latest_calls(asking.connection, _which(question, asking), PIECE, before)
    return found, [str(found[-1].seq)] if len(found) == PIECE else []


@dataclass(frozen=True, slots=True)
class Refusals:
    """Every code that calls ended with in the time, the most frequent first."""

    days: int
    rows: Sequence[RefusalRow]


def _refusals(asking: Asking, question: Since) -> Refusals:
    def work(asking: Asking) -> list[RefusalRow]:
        return refusals(asking.connection, question.since(asking.now), None)

    return Refusals(question.days, asking.keep(f"refusals {question.days}", work))


class CodeQuestion(Named, Paged):
    """Which code: a status such as 0xC004F038, or a reason."""

    days: int = Field(30, ge=1, le=3650, description="How many days back.")


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means, what to do about it, and whom it met."""

    name: str
    means: Meaning
    days: int
    total: int
    page: int
    pages: int
    rows: Sequence[MetRow]
    latest: Sequence[CallRow]


def code(asking: Asking, question: CodeQuestion) -> Code:
    """One code. Raises `NotThere` for one that is not known and that no call ended with."""
    back = timedelta(days=question.days)
    means = meaning_of(question.name)

    def work(asking: Asking) -> tuple[int, list[MetRow]]:
        since = asking.now - back
        return met(asking.connection, question.name, since, None, question.rows, question.offset)

    total, rows = asking.keep(("met", question.name, question.days, question.rows, question.offset), work)
    if not means.meaning and not total:
        raise NotThere(f"{question.name!r} is not a known code, and no call ended with it")
    latest = latest_calls(asking.connection, Which(code=question.name, since=asking.now - back), 10)
    return Code(
        question.name,
        means,
        question.days,
        total,
        question.page,
        max(1, -(-total // question.rows)),
        rows,
        latest,
    )


def _met_pieces(asking: Asking, question: CodeQuestion, after: Sequence[str]) -> tuple[list[MetRow], list[str]]:
    since = asking.now - timedelta(days=question.days)
    offset = int(after[0]) if after else 0
    _, rows = met(asking.connection, question.name, since, None, PIECE, offset)
    return rows, [str(offset + PIECE)] if len(rows) == PIECE else []


VIEWS = (
    View(
        "calls",
        "Calls",
        "Single calls, the latest first.",
        CallsQuestion,
        Calls,
        calls,
        template="calls.html",
        row_type=CallRow,
        rows=lambda answer: answer.rows,
        pieces=_call_pieces,
    ),
    View(
        "refusals",
        "Refusals",
        "What was refused or failed: each code once, with its meaning and what to do.",
        Since,
        Refusals,
        _refusals,
        template="refusals.html",
        row_type=RefusalRow,
        rows=lambda answer: answer.rows,
        slow=True,
    ),
    View(
        "code",
        "Code",
        "One status or reason code: its meaning, what to do, and the machines that it met.",
        CodeQuestion,
        Code,
        code,
        template="code.html",
        row_type=MetRow,
        rows=lambda answer: answer.rows,
        pieces=_met_pieces,
    ),
)
