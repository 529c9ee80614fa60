"""A download contains the whole table, whatever part of it a page shows."""

from __future__ import annotations

import csv
import io
import json
import urllib.request
from typing import Any
from urllib.parse import quote

import pytest

from tests.waiting import PATIENCE
from tests.web.conftest import Sites

pytestmark = pytest.mark.xdist_group("sites")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("machines", ""),
        ("calls", "&machine=lab-office-01"),
        ("machine", "&name=lab-office-01"),
        ("code", "&name=0xC004F038&days=400"),
        ("networks", ""),
        ("duplicates", ""),
    ],
)
def test_it_has_all_rows_of_all_pages(name: str, question: str, sites: Sites) -> None:
    url = f"{sites.urls['busy']}api/{name}?"
    rows: list[Any] = []
    if name == "machine":
        page = json.loads(get(f"{url}{question}"))
        assert page["earlier"] is not None
        rows += page["timeline"]
        while page["earlier"] is not None:
            page = json.loads(get(f"{url}{question}&before={quote(page['earlier'])}"))
            rows += page["timeline"]
        assert_same(url, "", question, rows)
        return
    if name == "calls":
        page = json.loads(get(f"{url}rows=7{question}"))
        while True:
            rows += page["rows"]
            if page["earlier"] is None:
                break
            page = json.loads(get(f"{url}rows=7{question}&before={page['earlier']}"))
    else:
        pages = json.loads(get(f"{url}rows=7{question}"))["pages"]
        for number in range(1, pages + 1):
            rows += json.loads(get(f"{url}rows=7&page={number}{question}"))["rows"]
    assert_same(url, "rows=7&", question, rows)


def assert_same(url: str, paged: str, question: str, rows: list[Any]) -> None:
    assert rows
    whole = json.loads(get(f"{url}{paged}format=json{question}"))["rows"]
    lines = list(csv.DictReader(io.StringIO(get(f"{url}format=csv{question}"))))
    assert len(whole) == len(lines) == len(rows)
