"""The `[notify]` section of the configuration: who is notified, about what, and when not."""

from __future__ import annotations

import re
from datetime import time
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kmstwist.problem import WrongValue
from kmstwist.sections import SECRET, Section

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://\S+")
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)")
_AT = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Topic(StrEnum):
    """What people can be notified about."""

    #: The server: paused, a worker missing, its record not in DNS.
    STATE = "state"
    #: A KMS host does not answer, or none does.
    HOSTS = "hosts"
    #: The audit cannot be written, or not forwarded.
    AUDIT = "audit"
    #: DNS names a KMS host that nobody configured.
    STRANGERS = "strangers"
    #: The count of an application is below what its clients need, or is about to be; or nobody was activated.
    COUNT = "count"
    #: Activations that end within 7 days.
    EXPIRING = "expiring"
    #: The weekly summary.
    DIGEST = "digest"


def scheme_of(url: str) -> str:
    """The kind of a target: the part before :// in its URL. The rest may hold secrets and is never shown."""
    found = _SCHEME.fullmatch(url)
    return found.group(1).lower() if found else ""


def _url(text: str) -> str:
    if not scheme_of(text):
        # The value is not quoted: it may hold a password.
        raise ValueError(
            "must be a URL as Apprise reads it, such as mailtos://USER:PASSWORD@example.com?to=admin@example.com"
        )
    return text


def _hours(text: str) -> str:
    quiet_hours(text)
    return text


def _at(text: str) -> str:
    clock_time(text)
    return text


def quiet_hours(text: str) -> tuple[time, time]:
    """From when to when, such as 22:00-07:00. Raises `ValueError`."""
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise WrongValue(f"{text!r} is not a span of hours", "write it as 22:00-07:00")
    one, two, three, four = map(int, found.groups())
    return time(one, two), time(three, four)


def clock_time(text: str) -> time:
    """A time of the day, such as 08:00. Raises `ValueError`."""
    found = _AT.fullmatch(text.strip())
    if found is None:
        raise WrongValue(f"{text!r} is not a time of day", "write it as 08:00")
    return time(int(found.group(1)), int(found.group(2)))


Target = Annotated[str, AfterValidator(_url)]


class NotifySettings(Section):
    """Whom to notify, by mail, chat or webhook, when something is wrong."""

    targets: tuple[Target, ...] = Field(
        (),
        repr=False,
        json_schema_extra=SECRET,
        examples=[("mailtos://kmstwist:PASSWORD@mail.example.com?to=admin@example.com",)],
        description="URLs as Apprise reads them, one for each target; they need the extra notify. They may contain "
        "passwords and tokens, and are never shown. Empty: nobody is notified.",
    )
    topics: tuple[Literal["state", "hosts", "audit", "strangers", "count", "expiring", "digest"], ...] = Field(
        ("state", "hosts", "audit", "strangers", "count", "expiring", "digest"),
        min_length=1,
        description="What to notify about: the server's own state, KMS hosts that do not answer, a failing audit, KMS "
        "hosts in DNS that nobody configured, counts below what clients need, activations that end within 7 days, the"
        " weekly summary.",
    )
    name: str | None = Field(
        None,
        max_length=100,
        examples=["gateway-dmz"],
        description="This server's name in messages. By default its host name.",
    )
    settle: Annotated[float, Field(ge=0, le=86_400)] = Field(
        300.0, description="Seconds for which a problem must last, or be over, before people are notified."
    )
    quiet: Annotated[str, AfterValidator(_hours)] | None = Field(
        None,
        examples=["22:00-07:00"],
        description="Hours in which nothing is sent, by the machine's own clock. Problems that still exist when they "
        "end are sent then.",
    )
    digest_day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        "monday", description="The day of the weekly summary."
    )
    digest_at: Annotated[str, AfterValidator(_at)] = Field("08:00", description="Its time, by the machine's own clock.")

    @property
    def wanted(self) -> frozenset[Topic]:
        """`topics`."""
        return frozenset(map(Topic, self.topics))
