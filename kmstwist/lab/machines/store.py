"""The lab machines between commands: one SQLite file in the state folder.

A machine is small, so it is read and written whole; only its events are appended. A command reads a machine, may wait
for a host's answer, and writes it: meanwhile it locks the machine, so that another command's change is not undone.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID
from zlib import crc32

from kmstwist.addresses import HostPort
from kmstwist.kms.catalogue import UnknownProduct, find
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.version import Version
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.machines import tables
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.events import MachineEvent
from kmstwist.lab.machines.machine import KmsSettings, Licence, Machine
from kmstwist.lab.sqlitefile import SqliteFile, insert
from kmstwist.system.sqlitecodes import Trouble, trouble_of
from kmstwist.system.sqlitefiles import uri_for_reading

MACHINES_FILE_NAME = "machines.sqlite"
SCHEMA_VERSION = 2


class MachineStore(SqliteFile):
    """The file of a lab's machines, made with its folder if it is missing; raises `LabFileError` if it is unusable."""

    _holds = ("machines", "were")
    _tables = tables.MAKING
    _schema_version = SCHEMA_VERSION

    def _upgrade(self, connection: sqlite3.Connection, version: int) -> None:
        # An existing machine keeps its values; only new columns are added.
        for table, columns in tables.ADDED.items():
            for column in columns:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")

    @contextmanager
    def held(self, names: Iterable[str], waiting: Callable[[], None]) -> Iterator[None]:
        """Lock the machines with these names against other processes; `waiting` is called if this has to wait.

        A machine's lock is one byte of a file beside the store, at an offset computed from its name. The system
        releases it when the process ends, in any way.
        """
        path = self._path.with_suffix(".lock")
        try:
            file = path.open("a")
        except OSError as error:
            raise LabFileError(
                f"{path} cannot be written ({error.strerror})",
                "check that its folder and file belong to you, or name another with --state-dir",
            ) from None
        with file:
            # In a fixed order, so that two commands on the same machines cannot deadlock.
            for place in sorted({crc32(_key(name).encode()) for name in names}):
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                except BlockingIOError:
                    waiting()
                    fcntl.lockf(file, fcntl.LOCK_EX, 1, place)
            yield

    def add(self, machine: Machine) -> None:
        """Store a new machine; raises `Refused` if its name is taken."""
        with self._writing() as connection:
            if connection.execute('SELECT 1 FROM machine WHERE "key" = ?', (_key(machine.name),)).fetchone():
                raise Refused(
                    f'there is a lab machine "{machine.name}" already: choose another name, or delete it '
                    f"(kmstwist lab machine delete {machine.name})"
                )
            _write(connection, machine)

    def save(self, machine: Machine) -> None:
        """Replace a stored machine, and append its new events."""
        with self._writing() as connection:
            _remove(connection, _key(machine.name))
            _write(connection, machine)

    def get(self, name: str) -> Machine:
        """The machine with this name, in any case; raises `Refused` if there is none."""
        key = _key(name)
        with self._reading() as connection:
            row = connection.execute('SELECT * FROM machine WHERE "key" = ?', (key,)).fetchone()
            if row is None:
                raise Refused(
                    f'there is no lab machine "{name}": kmstwist lab machine list shows them all, '
                    f"kmstwist lab machine new {name} --product NAME makes one"
                )
            licences = connection.execute("SELECT * FROM machine_licence WHERE machine = ? ORDER BY position", (key,))
            settings = connection.execute("SELECT * FROM machine_setting WHERE machine = ?", (key,))
            return self._machine(row, licences, settings)

    def all(self) -> list[Machine]:
        """Every machine, by name."""
        with self._reading() as connection:
            rows = connection.execute('SELECT * FROM machine ORDER BY "key"').fetchall()
            licences = _by_machine(connection.execute("SELECT * FROM machine_licence ORDER BY position"))
            settings = _by_machine(connection.execute("SELECT * FROM machine_setting"))
            return [self._machine(row, licences[row["key"]], settings[row["key"]]) for row in rows]

    def delete(self, name: str) -> None:
        """Delete a machine with all its data; raises `Refused` if there is none with this name."""
        key = _key(self.get(name).name)
        with self._writing() as connection:
            _remove(connection, key)
            connection.execute("DELETE FROM machine_event WHERE machine = ?", (key,))

    def events(self, name: str, last: int | None = None) -> list[MachineEvent]:
        """A machine's events, the oldest first; only the `last` ones if given."""
        query = "SELECT at, number, info, product FROM machine_event WHERE machine = ? ORDER BY id DESC LIMIT ?"
        with self._reading() as connection:
            rows = connection.execute(query, (_key(name), -1 if last is None else last)).fetchall()
        return [MachineEvent(*row) for row in reversed(rows)]

    def event_count(self, name: str) -> int:
        """How many events a machine has."""
        with self._reading() as connection:
            return _number(connection, "SELECT count(*) FROM machine_event WHERE machine = ?", _key(name))

    def age_events(self, name: str, seconds: float) -> None:
        """Make all events of a machine `seconds` older."""
        query = "SELECT id, at, number, info, product FROM machine_event WHERE machine = ?"
        with self._writing() as connection:
            for number, *row in connection.execute(query, (_key(name),)).fetchall():
                event = MachineEvent(*row).older(seconds)
                changed = (event.at, event.info, number)
                connection.execute("UPDATE machine_event SET at = ?, info = ? WHERE id = ?", changed)

    def count(self) -> int:
        """How many machines there are."""
        with self._reading() as connection:
            return _number(connection, "SELECT count(*) FROM machine")

    def _machine(self, row: sqlite3.Row, licences: Iterable[sqlite3.Row], settings: Iterable[sqlite3.Row]) -> Machine:
        machine = Machine(
            name=row["name"],
            cmid=UUID(row["cmid"]),
            previous_cmid=UUID(row["previous_cmid"]),
            created=row["created"],
            rearms_left=row["rearms_left"],
            domain=row["domain"],
            dns_server=_address(row["dns_host"], row["dns_port"]),
            virtual=bool(row["virtual"]),
            version=Version(row["kms_version"], 0),
            caching=bool(row["caching"]),
            cached=_address(row["cached_host"], row["cached_port"]),
            key_in_registry=bool(row["key_in_registry"]),
            region=row["region"],
        )
        machine.licences += [self._licence(machine, found) for found in licences]
        for found in settings:
            machine.settings[found["scope"]] = KmsSettings(
                found["host"], found["port"], found["lookup_domain"], found["act_type"]
            )
        return machine

    def _licence(self, machine: Machine, row: sqlite3.Row) -> Licence:
        try:
            product = find(row["product"])
            status = LicenseStatus(row["status"])
        except (UnknownProduct, ValueError) as error:
            raise LabFileError(
                f"the lab's machines {self._path} hold something that this kmstwist does not know ({error})",
                f"update kmstwist, or delete the machine (kmstwist lab machine delete {machine.name})",
            ) from None
        client = machine.new_client(product, row["next_attempt"])
        client.status = status
        client.expires = row["expires"]
        client.last_success = row["last_success"]
        client.host_id = row["host_id"]
        client.activation_interval = row["activation_interval"]
        client.renewal_interval = row["renewal_interval"]
        licence = Licence(client, row["partial_key"])
        licence.installs = row["installs"]
        licence.rearms_left = row["rearms_left"]
        licence.by_phone = bool(row["by_phone"])
        licence.trouble = row["trouble"]
        licence.found = _address(row["found_host"], row["found_port"])
        licence.host_address = row["host_address"]
        return licence

    def _explained(self, error: sqlite3.Error | ValueError) -> LabFileError:
        trouble = trouble_of(error)
        cure = str(trouble)
        if trouble in (Trouble.DAMAGED, Trouble.NO_STORE, Trouble.OTHER):
            what = str(trouble) or "it is damaged, or it is not one of kmstwist's files"
            cure = f"{what}; move it away, and make the machines again"
        return LabFileError(f"the lab's machines {self._path} cannot be used ({error})", cure)


def names_in(path: Path, patience: float) -> list[str]:
    """The names of the machines in a file, in order. It is only read, and not made; raises sqlite3's errors.

    `patience` is how long (seconds) to wait for another process's lock.
    """
    with closing(sqlite3.connect(uri_for_reading(path), uri=True, timeout=patience)) as connection:
        return [name for (name,) in connection.execute('SELECT name FROM machine ORDER BY "key"')]


def _by_machine(rows: Iterable[sqlite3.Row]) -> dict[str, list[sqlite3.Row]]:
    """Rows by the keys of their machines."""
    found: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in rows:
        found[row["machine"]].append(row)
    return found


def _number(connection: sqlite3.Connection, query: str, *values: str) -> int:
    number: int = connection.execute(query, values).fetchone()[0]
    return number


def _key(name: str) -> str:
    return name.casefold()


def _address(host: str | None, port: int | None) -> HostPort | None:
    return None if host is None or port is None else HostPort(host, port)


def _machine_row(machine: Machine) -> dict[str, object]:
    dns, cached = machine.dns_server, machine.cached
    return {
        "key": _key(machine.name),
        "name": machine.name,
        "cmid": machine.cmid.hex,
        "previous_cmid": machine.previous_cmid.hex,
        "created": machine.created,
        "rearms_left": machine.rearms_left,
        "domain": machine.domain,
        "dns_host": dns.host if dns else None,
        "dns_port": dns.port if dns else None,
        "virtual": machine.virtual,
        "kms_version": machine.version.major,
        "caching": machine.caching,
        "cached_host": cached.host if cached else None,
        "cached_port": cached.port if cached else None,
        "key_in_registry": machine.key_in_registry,
        "region": machine.region,
    }


def _remove(connection: sqlite3.Connection, key: str) -> None:
    """Remove a machine, and leave its events."""
    connection.execute('DELETE FROM machine WHERE "key" = ?', (key,))
    connection.execute("DELETE FROM machine_licence WHERE machine = ?", (key,))
    connection.execute("DELETE FROM machine_setting WHERE machine = ?", (key,))


def _write(connection: sqlite3.Connection, machine: Machine) -> None:
    """Write a machine that is not there, and its new events."""
    key = _key(machine.name)
    insert(connection, "machine", [_machine_row(machine)])
    licences = [_licence_row(key, *each) for each in enumerate(machine.licences)]
    insert(connection, "machine_licence", licences)
    settings = [
        {
            "machine": key,
            "scope": scope,
            "host": settings.host,
            "port": settings.port,
            "lookup_domain": settings.lookup_domain,
            "act_type": settings.act_type,
        }
        for scope, settings in machine.settings.items()
    ]
    insert(connection, "machine_setting", settings)
    events = [
        {"machine": key, "at": event.at, "number": event.number, "info": event.info, "product": event.product}
        for event in machine.new_events
    ]
    insert(connection, "machine_event", events)
    machine.new_events.clear()


def _licence_row(key: str, position: int, licence: Licence) -> dict[str, object]:
    client = licence.client
    return {
        "machine": key,
        "position": position,
        "product": licence.product.name,
        "partial_key": licence.partial_key,
        "installs": licence.installs,
        "rearms_left": licence.rearms_left,
        "by_phone": licence.by_phone,
        "status": int(client.status),
        "expires": client.expires,
        "next_attempt": client.next_attempt,
        "last_success": client.last_success,
        "host_id": client.host_id,
        "activation_interval": client.activation_interval,
        "renewal_interval": client.renewal_interval,
        "trouble": licence.trouble,
        "found_host": licence.found.host if licence.found else None,
        "found_port": licence.found.port if licence.found else None,
        "host_address": licence.host_address,
    }
