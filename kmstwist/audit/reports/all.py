"""The list of reports: what the command line and the status site offer."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from kmstwist.audit.reports.model import ReportDefinition
from kmstwist.audit.reports.subjects import SUMMARIES

_ALL = ReportDefinition.ALL
_TIMES = frozenset({"since", "until"})


def _asked(module: str, name: str) -> Callable[..., Any]:
    """The function of a report, whose module is loaded when it is asked first: a command asks one of twelve."""

    def ask(*arguments: object) -> object:
        return getattr(import_module(f"kmstwist.audit.reports.{module}"), name)(*arguments)

    return ask


REPORTS: dict[str, ReportDefinition] = {
    definition.name: definition
    for definition in (
        ReportDefinition(
            "clients",
            SUMMARIES["clients"],
            _asked("machines", "clients"),
            _ALL,
            _asked("machines", "clients_at_length"),
        ),
        ReportDefinition(
            "expiring",
            SUMMARIES["expiring"],
            _asked("machines", "expiring"),
            _ALL | {"days"},
            _asked("machines", "expiring_at_length"),
        ),
        ReportDefinition(
            "silent",
            SUMMARIES["silent"],
            _asked("machines", "silent"),
            _ALL | {"days"},
            _asked("machines", "silent_at_length"),
        ),
        ReportDefinition(
            "duplicates", SUMMARIES["duplicates"], _asked("duplicates", "duplicates"), _TIMES | {"machine"}
        ),
        ReportDefinition("failures", SUMMARIES["failures"], _asked("failures", "failures"), _ALL - {"product"}),
        ReportDefinition(
            "refused", SUMMARIES["refused"], _asked("failures", "refused"), _ALL - {"product", "upstream"}
        ),
        ReportDefinition(
            "activity", SUMMARIES["activity"], _asked("activity", "activity"), _TIMES | {"upstream", "product", "by"}
        ),
        ReportDefinition("count", SUMMARIES["count"], _asked("count", "count"), frozenset()),
        ReportDefinition("products", SUMMARIES["products"], _asked("inventory", "products"), _ALL),
        ReportDefinition("networks", SUMMARIES["networks"], _asked("inventory", "networks"), _ALL),
        ReportDefinition("strangers", SUMMARIES["strangers"], _asked("strangers", "strangers"), frozenset()),
        ReportDefinition(
            "digest",
            SUMMARIES["digest"],
            _asked("digest", "digest"),
            frozenset({"days", "machine", "network"}),
        ),
    )
}
