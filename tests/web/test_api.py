"""The API against its own OpenAPI document, by schemathesis."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import Case, HookContext

from kmstwist.web.api.openapi import document
from tests.web.conftest import Sites

pytestmark = pytest.mark.xdist_group("sites")

# Examples of the document's own formats.
schemathesis.openapi.format(
    "moment-or-age",
    st.one_of(
        st.just(""),
        st.builds("{}{}".format, st.integers(0, 999_999), st.sampled_from("mhdw")),
        st.dates().map(str),
        st.datetimes(timezones=st.none()).map(lambda when: when.isoformat(timespec="minutes")),
    ).filter(lambda text: not text.endswith("w") or len(text) < 6),
)
schemathesis.openapi.format("day-or-nothing", st.one_of(st.just(""), st.dates(max_value=date(9999, 12, 30)).map(str)))
schemathesis.openapi.format(
    "network-or-nothing",
    st.one_of(
        st.just(""),
        st.ip_addresses().map(str),
        st.builds("{}/{}".format, st.ip_addresses(v=4), st.integers(0, 32)),
        st.builds("{}/{}".format, st.ip_addresses(v=6), st.integers(0, 128)),
    ),
)


@pytest.fixture
def api() -> Any:
    return schemathesis.openapi.from_dict(json.loads(json.dumps(document())))


@schemathesis.hook
def map_query(_context: HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A span of time has its end after its beginning, which the document cannot say of two parameters."""
    if query and query.get("since") and query.get("until"):
        return {name: value for name, value in query.items() if name != "until"}
    return query


# Through a fixture, so that only the process that tries the examples makes them, and not each one that collects.
@schemathesis.pytest.from_fixture("api").parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_it_does_what_its_document_says(case: Case[Any], sites: Sites) -> None:
    case.call_and_validate(base_url=sites.urls["busy"].rstrip("/"))
