"""A KMS host's log with one event of each kind, and code that the tests of its import share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from kmstwist.audit import schema
from kmstwist.audit.engine import reading
from kmstwist.audit.events.importer import Importer, ImportResult
from kmstwist.audit.privacy import Privacy, PrivacyPolicy
from tests.audit.exports import Sample, as_csv, as_evtx, as_json_5, as_json_7, as_xml, request
from tests.audit.making import START, uuid

OPEN = Privacy(PrivacyPolicy(), b"")
AT = datetime(2024, 6, 1, tzinfo=UTC)
NOW = START + 365 * 86_400_000
DNS = {"pc1.example.com": ["10.0.0.1"], "pc2.example.com": ["10.0.0.2", "2001:db8::2"]}

SAMPLES = [
    request(1, AT + timedelta(seconds=1), "pc1.example.com"),
    request(2, AT + timedelta(seconds=2), "pc2.example.com", hresult="0xC004F06C", vm=1),
    Sample(3, AT + timedelta(seconds=3), ("0x0", "example.com"), event_id=12294),
    Sample(4, AT + timedelta(seconds=4), ("0x8007232B", "example.com"), event_id=12293),
    Sample(
        5,
        AT + timedelta(seconds=5),
        ("0x0", "0x00000000", "kms1:1688", uuid("x"), "2024/6/1 0:00", "0", "2", "1000", uuid("act"), "25"),
        event_id=12288,
        computer="pc9",
    ),
    Sample(
        6,
        AT + timedelta(seconds=6),
        ("0x0", "0x00000000", "1", "0", "50", "120", "10080", "2024/6/1 0:00"),
        event_id=12289,
        computer="pc9",
    ),
    Sample(7, AT + timedelta(seconds=7), ("whatever",), event_id=1003),
]

FORMATS: dict[str, Callable[[list[Sample]], bytes]] = {
    "wevtutil.xml": as_xml,
    "rooted.xml": lambda samples: as_xml(samples, root=True),
    "redirected.xml": lambda samples: b"\xff\xfe" + as_xml(samples).decode().encode("utf-16-le"),
    "pwsh7.json": as_json_7,
    "powershell5.json": as_json_5,
    "us.csv": as_csv,
    "german.csv": lambda samples: as_csv(samples, "%d.%m.%Y %H:%M:%S", ";", kind=False),
    "log.evtx": as_evtx,
}


def resolve(name: str) -> Sequence[str]:
    return DNS.get(name, [])


def rows(store: Engine, table: str) -> list[dict[str, Any]]:
    with reading(store) as connection:
        return [dict(row._mapping) for row in connection.execute(select(schema.metadata.tables[table]))]


def bring_in(store: Engine, path: Path, content: bytes, privacy: Privacy = OPEN, **options: Any) -> ImportResult:
    path.write_bytes(content)
    return Importer(store, privacy, options.pop("resolve", resolve), **options).import_file(path)
