"""The contents of a fleet's scenario file. All its mistakes are reported at once, each with its place and its cure.

Times are days since the scenario's start, with fractions. `docs/fleet.md` explains every key to the people who write
these files; the ready scenarios in `kmstwist/lab/scenarios` are examples.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from kmstwist.kms.catalogue import Product, UnknownProduct, find
from kmstwist.lab.fleet.checking import cross_mistakes, structural_mistakes
from kmstwist.lab.host_settings import (
    DEFAULT_ACTIVATION_INTERVAL,
    DEFAULT_RENEWAL_INTERVAL,
    MAX_INTERVAL,
    MIN_INTERVAL,
)
from kmstwist.lab.scenarios import ready_scenarios, ready_text
from kmstwist.problem import Problem, WrongValue
from kmstwist.toml import read_toml

MAX_MACHINES = 1_000_000
MAX_DAYS = 4000
FIRST_YEAR, LAST_YEAR = 1980, 2999
"""The years in which a scenario may begin, so that FILETIME, Unix time and ISO 8601 can express all its times."""

Day = Annotated[float, Field(ge=0, le=MAX_DAYS, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w .:()+&,'/-]+$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class ScenarioError(Exception):
    """A scenario cannot be used; `mistakes` lists everything that is wrong with it."""

    def __init__(self, source: str, mistakes: Sequence[Problem]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        many = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
        super().__init__(f"{source} has {many}:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))


def _known_product(name: str) -> str:
    try:
        return find(name).name
    except UnknownProduct as error:
        raise WrongValue.of(error) from None


def _moment(value: object) -> object:
    if not isinstance(value, date):
        raise WrongValue("it is a date or a date and time", "write it without quotation marks: start = 2026-01-05")
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise WrongValue(f"the year {value.year} is not from {FIRST_YEAR} to {LAST_YEAR}", "choose another")
    return value


def _no_number(value: object) -> object:
    # It would be taken for the seconds since midnight.
    if isinstance(value, int | float):
        raise WrongValue("it is a time of day", "write 08:00:00")
    return value


def _without_offset(value: time) -> time:
    if value.tzinfo is not None:
        raise WrongValue("times are UTC, without an offset", "write 08:00:00")
    return value


ClockTime = Annotated[time, BeforeValidator(_no_number), AfterValidator(_without_offset)]
ProductName = Annotated[str, AfterValidator(_known_product)]
Family = Literal["Windows", "Windows Server", "Office"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Outage(_Strict):
    """From which day on, and for how many days, something is away."""

    from_day: Day
    days: Annotated[float, Field(gt=0, le=MAX_DAYS, allow_inf_nan=False)]


class Host(_Strict):
    """A KMS host: what its key covers, its intervals in minutes, how wrong its clock is."""

    name: Name
    covers: Annotated[tuple[Family, ...], Field(min_length=1)] = ("Windows", "Windows Server", "Office")
    activation_interval: Annotated[int, Field(ge=MIN_INTERVAL, le=MAX_INTERVAL)] = DEFAULT_ACTIVATION_INTERVAL
    renewal_interval: Annotated[int, Field(ge=MIN_INTERVAL, le=MAX_INTERVAL)] = DEFAULT_RENEWAL_INTERVAL
    clock_error_minutes: Annotated[float, Field(ge=-5_000_000, le=5_000_000, allow_inf_nan=False)] = 0.0
    outages: tuple[Outage, ...] = ()


class Gateway(_Strict):
    """A gateway in front of some hosts; it asks the first one that is up and covers the product."""

    name: Name
    upstreams: Annotated[tuple[Name, ...], Field(min_length=1)]
    outages: tuple[Outage, ...] = ()


class Srv(_Strict):
    """One SRV record: a host or gateway, with RFC 2782 priority and weight."""

    host: Name
    priority: Annotated[int, Field(ge=0, le=65535)] = 0
    weight: Annotated[int, Field(ge=0, le=65535)] = 0


class DnsChange(_Strict):
    """From this day on, the site's DNS has these SRV records (none: the name does not exist)."""

    day: Day
    srv: tuple[Srv, ...]


class Site(_Strict):
    """A place with its DNS and its link: the round trip in seconds, the share of lost attempts, and the outages."""

    name: Name
    srv: tuple[Srv, ...] = ()
    dns_changes: tuple[DnsChange, ...] = ()
    round_trip_seconds: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)] = 0.0
    loss: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    outages: tuple[Outage, ...] = ()


class Spread(_Strict):
    """Something that happens to one machine after the other, evenly over some days; to a `share` of them."""

    from_day: Day = 0.0
    over_days: Day = 0.0
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


class OfficeHours(_Strict):
    """When the group's machines are switched on, in UTC; each is at most `spread_minutes` later than the first."""

    opens: ClockTime = time(8)
    closes: ClockTime = time(18)
    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri")
    spread_minutes: Annotated[float, Field(ge=0, le=240, allow_inf_nan=False)] = 30.0

    @model_validator(mode="after")
    def _has_hours(self) -> OfficeHours:
        if self.opens >= self.closes:
            raise WrongValue(
                f"the hours end at {self.closes:%H:%M}, not after {self.opens:%H:%M} where they begin",
                "make machines that run at night a group of their own",
            )
        return self


class ClockError(_Strict):
    """How many minutes a machine's clock is ahead (negative: behind), and when."""

    minutes: Annotated[float, Field(ge=-5_000_000, le=5_000_000, allow_inf_nan=False)]
    from_day: Day = 0.0
    days: Annotated[float, Field(gt=0, le=MAX_DAYS, allow_inf_nan=False)] = float(MAX_DAYS)


class Group(_Strict):
    """Machines that are alike: how many, where, with which products, and what happens to them."""

    name: Name
    site: Name
    count: Annotated[int, Field(ge=1, le=MAX_MACHINES)]
    products: Annotated[tuple[ProductName, ...], Field(min_length=1, max_length=8)]
    joins: Spread = Spread()
    leaves: Spread | None = None
    office_hours: OfficeHours | None = None
    clock_error: ClockError | None = None
    cloned: bool = False
    generalise_on_day: Day | None = None
    host: Name | None = None
    caching: bool = True
    kms_version: Literal[4, 5, 6] = 6
    virtual: bool = False

    @property
    def catalogue(self) -> tuple[Product, ...]:
        """The products, from the catalogue."""
        return tuple(find(name) for name in self.products)


class Scenario(_Strict):
    """A whole rehearsal: where it begins, how long it lasts, and everything in it."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    description: Annotated[str, Field(max_length=2000)] = ""
    start: Annotated[datetime, BeforeValidator(_moment)] = datetime(2026, 1, 5, tzinfo=UTC)
    days: Annotated[float, Field(gt=0, le=MAX_DAYS, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0)] = 1
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, alias="host")]
    gateways: Annotated[tuple[Gateway, ...], Field(alias="gateway")] = ()
    sites: Annotated[tuple[Site, ...], Field(min_length=1, alias="site")]
    groups: Annotated[tuple[Group, ...], Field(min_length=1, alias="machines")]

    @property
    def begins(self) -> float:
        """The start in Unix seconds; a start without a time zone is UTC."""
        start = self.start if self.start.tzinfo else self.start.replace(tzinfo=UTC)
        return start.timestamp()

    @property
    def machine_count(self) -> int:
        """How many machines there are, over all groups."""
        return sum(group.count for group in self.groups)

    def scaled_to(self, machines: int) -> Scenario:
        """The same scenario with at most `most` machines; every group is reduced in proportion (to at least 1)."""
        if self.machine_count <= machines:
            return self
        share = machines / self.machine_count
        groups = tuple(group.model_copy(update={"count": max(1, round(group.count * share))}) for group in self.groups)
        return self.model_copy(update={"groups": groups})


def parse(document: dict[str, Any], source: str) -> Scenario:
    """The scenario in a parsed TOML document; raises `ScenarioError` with all its mistakes."""
    mistakes: list[Problem] = []
    scenario = None
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        mistakes += structural_mistakes(error)
    mistakes += cross_mistakes(document, MAX_MACHINES)
    if scenario is None or mistakes:
        raise ScenarioError(source, mistakes)
    return scenario


def load(path: Path) -> Scenario:
    """The scenario in a TOML file; raises `ScenarioError`."""
    try:
        document = read_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        ready = ", ".join(ready_scenarios())
        raise ScenarioError(
            str(path), [Problem("there is no such file", f"give a scenario file, or one of the ready ones: {ready}")]
        ) from None
    except IsADirectoryError:
        raise ScenarioError(str(path), [Problem("is a folder", "name a scenario file")]) from None
    except OSError as error:
        raise ScenarioError(
            str(path), [Problem(f"it cannot be read ({error.strerror})", "check its owner and mode")]
        ) from None
    except UnicodeDecodeError:
        raise ScenarioError(str(path), [Problem("it is not text in UTF-8", "save it as UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(str(path), [Problem(f"it is not TOML: {error}")]) from None
    return parse(document, str(path))


def find_scenario(name: str) -> Scenario:
    """A ready scenario by its name, or the one in a file; raises `ScenarioError`."""
    if name in ready_scenarios():
        return parse(read_toml(ready_text(name)), name)
    return load(Path(name))
