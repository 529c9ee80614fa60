"""The lab host's memory between runs: one SQLite file in the state folder.

Plain blocking functions, for a worker thread: `load` once at the start, `save` now and then with what the host's
`take_changes` gave. A save is one transaction that replaces the changed applications whole, at most 50 rows each.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC
from uuid import UUID

from sqlalchemy import (
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError

from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.host import ApplicationMemory, ClientRecord, Counters, HostEvent, Memory
from kmstwist.lab.host_settings import HostSettings, StoredEvent
from kmstwist.lab.sqlitefile import SqliteFile
from kmstwist.system.sqlitecodes import Trouble, trouble_of

STORE_FILE_NAME = "lab.sqlite"
SCHEMA_VERSION = 3
MAX_EVENTS = 20_000
"""Events that are kept, the latest."""

_TOTAL = "total"
_FAILED = "failed"
_RUNNING = "running "
_MAX_INTEGER = 2**63 - 1

_metadata = MetaData()
_clients = Table(
    "lab_client",
    _metadata,
    Column("app_id", Uuid, primary_key=True),
    Column("cmid", Uuid, primary_key=True),
    Column("last_seen", Float, nullable=False),
    Column("machine_name", String, nullable=False),
    Column("required_count", Integer, nullable=False),
)
_applications = Table(
    "lab_application",
    _metadata,
    Column("app_id", Uuid, primary_key=True),
    Column("largest_required", Integer, nullable=False),
)
_counters = Table(
    "lab_counter",
    _metadata,
    Column("name", String, primary_key=True),
    Column("value", Integer, nullable=False),
)
_settings = Table(
    "lab_setting",
    _metadata,
    Column("name", String, primary_key=True),
    Column("value", Integer, nullable=False),
)
_events = Table(
    "lab_event",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("info", String, nullable=False),
    sqlite_autoincrement=True,
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
    _metadata = _metadata
    _schema_version = SCHEMA_VERSION

    def load(self) -> Memory:
        """All that was saved; `LabFileError` if it cannot be read."""
        clients: dict[UUID, list[ClientRecord]] = {}
        counters = Counters()
        try:
            with self._engine.connect() as connection:
                for row in connection.execute(select(_clients).order_by(_clients.c.last_seen)):
                    record = ClientRecord(row.cmid, row.last_seen, row.machine_name, row.required_count)
                    clients.setdefault(row.app_id, []).append(record)
                applications = {
                    row.app_id: ApplicationMemory(row.largest_required, tuple(clients.get(row.app_id, ())))
                    for row in connection.execute(select(_applications))
                }
                values = {row.name: row.value for row in connection.execute(select(_counters))}
        except (DBAPIError, ValueError) as error:
            raise self._explained(error) from error
        counters.total = values.get(_TOTAL, 0)
        counters.failed = values.get(_FAILED, 0)
        for status in LicenseStatus:
            counters.by_status[status] = values.get(status.name.lower(), 0)
        return Memory(applications, counters)

    def save(self, changes: Memory) -> None:
        """Replace what changed, all or nothing; `LabFileError` if it cannot be written."""
        clients = [
            {
                "app_id": app_id,
                "cmid": record.cmid,
                "last_seen": record.last_seen,
                "machine_name": record.machine_name,
                "required_count": record.required_count,
            }
            for app_id, application in changes.applications.items()
            for record in application.clients
        ]
        applications = [
            {"app_id": app_id, "largest_required": application.largest_required}
            for app_id, application in changes.applications.items()
        ]
        values = {_TOTAL: changes.counters.total, _FAILED: changes.counters.failed} | {
            status.name.lower(): changes.counters.by_status[status] for status in LicenseStatus
        }
        try:
            with self._engine.begin() as connection:
                for table in (_clients, _applications):
                    connection.execute(delete(table).where(table.c.app_id.in_(changes.applications)))
                if applications:
                    connection.execute(insert(_applications), applications)
                if clients:
                    connection.execute(insert(_clients), clients)
                connection.execute(delete(_counters))
                connection.execute(
                    insert(_counters),
                    [{"name": name, "value": min(value, _MAX_INTEGER)} for name, value in values.items()],
                )
                if changes.events:
                    rows = [{"at": event.at, "info": request_processed(event)} for event in changes.events]
                    connection.execute(insert(_events), rows)
                    latest = select(func.max(_events.c.id)).scalar_subquery()
                    connection.execute(delete(_events).where(_events.c.id <= latest - MAX_EVENTS))
        except DBAPIError as error:
            raise self._explained(error) from error

    def events(self, last: int | None = None) -> list[StoredEvent]:
        """The events that the host logged, the oldest first; only the `last` ones if given."""
        query = select(_events).order_by(_events.c.id.desc()).limit(last)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
        except DBAPIError as error:
            raise self._explained(error) from error
        return [StoredEvent(row.id, row.at, row.info) for row in reversed(rows)]

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
        try:
            with self._engine.connect() as connection:
                values = {row.name: row.value for row in connection.execute(select(_settings))}
        except (DBAPIError, ValueError) as error:
            raise self._explained(error) from error

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
        try:
            with self._engine.begin() as connection:
                names = [prefix + name for name in values]
                connection.execute(delete(_settings).where(_settings.c.name.in_(names)))
                if rows:
                    connection.execute(insert(_settings), rows)
        except DBAPIError as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> LabFileError:
        cause = str(error.orig if isinstance(error, DBAPIError) else error)
        trouble = trouble_of(error)
        cure = str(trouble)
        if trouble is Trouble.BUSY:
            cure = "another process holds it; stop that one, or name another state folder (--state-dir)"
        elif trouble in (Trouble.DAMAGED, Trouble.NO_STORE, Trouble.OTHER):
            what = str(trouble) or "it is damaged, or it is not one of kmstwist's files"
            cure = f"{what}; move it away, and the lab starts with a count of 0"
        return LabFileError(f"the lab's memory {self._path} cannot be used ({cause})", cure)
