"""The lab host's memory between runs: one SQLite file in the state folder.

Plain blocking functions, for a worker thread: `load` once at the start, `save` now and then with what the host's
`take_changes` gave. A save is one transaction that replaces the changed applications whole, at most 50 rows each.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from datetime import UTC
from uuid import UUID

from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.host_memory import ApplicationMemory, ClientRecord, Counters, HostEvent, Memory
from kmstwist.lab.host_settings import HostSettings, StoredEvent
from kmstwist.lab.sqlitefile import SqliteFile, insert
from kmstwist.system.sqlitecodes import Trouble, trouble_of

STORE_FILE_NAME = "lab.sqlite"
SCHEMA_VERSION = 3
MAX_EVENTS = 20_000
"""Events that are kept, the latest."""

_TOTAL = "total"
_FAILED = "failed"
_RUNNING = "running "
_MAX_INTEGER = 2**63 - 1

# An id is kept as 32 hexadecimal digits.
_TABLES = (
    """CREATE TABLE IF NOT EXISTS lab_client (
        app_id CHAR(32) NOT NULL,
        cmid CHAR(32) NOT NULL,
        last_seen FLOAT NOT NULL,
        machine_name VARCHAR NOT NULL,
        required_count INTEGER NOT NULL,
        PRIMARY KEY (app_id, cmid)
    )""",
    """CREATE TABLE IF NOT EXISTS lab_application (
        app_id CHAR(32) NOT NULL PRIMARY KEY,
        largest_required INTEGER NOT NULL
    )""",
    "CREATE TABLE IF NOT EXISTS lab_counter (name VARCHAR NOT NULL PRIMARY KEY, value INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS lab_setting (name VARCHAR NOT NULL PRIMARY KEY, value INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS lab_event (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        at FLOAT NOT NULL,
        info VARCHAR NOT NULL
    )""",
)


def request_processed(event: HostEvent) -> str:
    """The line of fields of event 12290, as Windows writes it: nine of them, without spaces."""
    request = event.request
    moment = request.client_datetime.astimezone(UTC)
    fields = (
        f"0x{event.hresult & 0xFFFFFFFF:X}",
        request.required_count,
        # The name is the client's own text; a comma in it would take the line apart.
        request.machine_name.replace(",", "_"),
        request.cmid,
        f"{moment.year}/{moment.month}/{moment.day} {moment.hour}:{moment.minute:02}",
        request.vm_info,
        int(request.license_status),
        request.minutes_left,
        request.act_id,
    )
    return ",".join(map(str, fields))


class LabStore(SqliteFile):
    """The file of one lab host's memory, made with its folder if there is none; `LabFileError` if it is of no use."""

    _holds = ("memory", "was")
    _tables = _TABLES
    _schema_version = SCHEMA_VERSION

    def load(self) -> Memory:
        """All that was saved; `LabFileError` if it cannot be read."""
        clients: dict[UUID, list[ClientRecord]] = {}
        counters = Counters()
        with self._reading() as connection:
            for row in connection.execute("SELECT * FROM lab_client ORDER BY last_seen"):
                record = ClientRecord(UUID(row["cmid"]), row["last_seen"], row["machine_name"], row["required_count"])
                clients.setdefault(UUID(row["app_id"]), []).append(record)
            applications = {
                (app_id := UUID(row["app_id"])): ApplicationMemory(
                    row["largest_required"], tuple(clients.get(app_id, ()))
                )
                for row in connection.execute("SELECT * FROM lab_application")
            }
            values: dict[str, int] = dict(map(tuple, connection.execute("SELECT name, value FROM lab_counter")))
        counters.total = values.get(_TOTAL, 0)
        counters.failed = values.get(_FAILED, 0)
        for status in LicenseStatus:
            counters.by_status[status] = values.get(status.name.lower(), 0)
        return Memory(applications, counters)

    def save(self, changes: Memory) -> None:
        """Replace what changed, all or nothing; `LabFileError` if it cannot be written."""
        clients = [
            {
                "app_id": app_id.hex,
                "cmid": record.cmid.hex,
                "last_seen": record.last_seen,
                "machine_name": record.machine_name,
                "required_count": record.required_count,
            }
            for app_id, application in changes.applications.items()
            for record in application.clients
        ]
        applications = [
            {"app_id": app_id.hex, "largest_required": application.largest_required}
            for app_id, application in changes.applications.items()
        ]
        counters = {_TOTAL: changes.counters.total, _FAILED: changes.counters.failed} | {
            status.name.lower(): changes.counters.by_status[status] for status in LicenseStatus
        }
        changed = [(app_id.hex,) for app_id in changes.applications]
        with self._writing() as connection:
            connection.executemany("DELETE FROM lab_client WHERE app_id = ?", changed)
            connection.executemany("DELETE FROM lab_application WHERE app_id = ?", changed)
            insert(connection, "lab_application", applications)
            insert(connection, "lab_client", clients)
            connection.execute("DELETE FROM lab_counter")
            values = [{"name": name, "value": min(value, _MAX_INTEGER)} for name, value in counters.items()]
            insert(connection, "lab_counter", values)
            if changes.events:
                rows = [{"at": event.at, "info": request_processed(event)} for event in changes.events]
                insert(connection, "lab_event", rows)
                older = "DELETE FROM lab_event WHERE id <= (SELECT max(id) FROM lab_event) - ?"
                connection.execute(older, (MAX_EVENTS,))

    def events(self, last: int | None = None) -> list[StoredEvent]:
        """The events that the host logged, the oldest first; only the `last` ones if given."""
        query = "SELECT id, at, info FROM lab_event ORDER BY id DESC LIMIT ?"
        with self._reading() as connection:
            rows = connection.execute(query, (-1 if last is None else last,)).fetchall()
        return [StoredEvent(*row) for row in reversed(rows)]

    def load_settings(self) -> HostSettings:
        """The settings that were made; `LabFileError` if they cannot be read."""
        return self._settings("")

    def save_settings(self, settings: HostSettings) -> None:
        """Replace all settings; `LabFileError` if they cannot be written."""
        self._replace_settings("", settings)

    def load_running(self) -> HostSettings:
        """What the host ran with when it was started last; all None if it never was."""
        return self._settings(_RUNNING)

    def save_running(self, settings: HostSettings) -> None:
        """Note what the host runs with; `LabFileError` if it cannot be written."""
        self._replace_settings(_RUNNING, settings)

    def _settings(self, prefix: str) -> HostSettings:
        with self._reading() as connection:
            values: dict[str, int] = dict(map(tuple, connection.execute("SELECT name, value FROM lab_setting")))

        def flag(name: str) -> bool | None:
            return bool(values[prefix + name]) if prefix + name in values else None

        return HostSettings(
            activation_interval=values.get(prefix + "activation_interval"),
            renewal_interval=values.get(prefix + "renewal_interval"),
            port=values.get(prefix + "port"),
            publishes=flag("publishes"),
            low_priority=flag("low_priority"),
        )

    def _replace_settings(self, prefix: str, settings: HostSettings) -> None:
        values = asdict(settings)
        rows = [{"name": prefix + name, "value": int(value)} for name, value in values.items() if value is not None]
        with self._writing() as connection:
            connection.executemany("DELETE FROM lab_setting WHERE name = ?", [(prefix + name,) for name in values])
            insert(connection, "lab_setting", rows)

    def _explained(self, error: sqlite3.Error | ValueError) -> LabFileError:
        trouble = trouble_of(error)
        cure = str(trouble)
        if trouble is Trouble.BUSY:
            cure = "another process holds it; stop that one, or name another state folder (--state-dir)"
        elif trouble in (Trouble.DAMAGED, Trouble.NO_STORE, Trouble.OTHER):
            what = str(trouble) or "it is damaged, or it is not one of kmstwist's files"
            cure = f"{what}; move it away, and the lab starts with a count of 0"
        return LabFileError(f"the lab's memory {self._path} cannot be used ({error})", cure)
