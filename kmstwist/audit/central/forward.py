"""Forwarding: the records of this gateway's SQLite store, sent on to a PostgreSQL shared by several gateways.

The local store is the spool. The forwarder reads it in the order of commit, inserts into PostgreSQL the records that
are not there yet, and then notes how far it got. Noting comes last, so a crash between the two only makes it send some
records again, which changes nothing (their ids are known). The strangers that the watch remembers are few and change:
after a change all of them are sent, and replace those sent before. An outage of any length costs only disk space:
retention leaves records alone that have not been forwarded.

It runs in its own thread, since PostgreSQL may take long, and never touches the reactor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from twisted.logger import Logger

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import insert_for
from kmstwist.audit.central.acceptance import why_not
from kmstwist.audit.central.salt import join
from kmstwist.audit.central.targets import forwarded_up_to, target_name
from kmstwist.audit.engine import reading, with_patience, writing
from kmstwist.audit.migrate import migrate, revision_fault
from kmstwist.audit.plain.faults import StoreError, plain_error
from kmstwist.audit.records import Record, id_text
from kmstwist.audit.store import insert_new, is_data_fault, read_records
from kmstwist.audit.strangers import forget_oldest
from kmstwist.logevents import AUDIT_FORWARD_FAILING, AUDIT_FORWARD_REJECTED, AUDIT_FORWARDING
from kmstwist.pacing.waits import doubled
from kmstwist.shown import without_password

BATCH = 1000
IDLE = 0.5
RETRY_FIRST, RETRY_MOST = 0.5, 30.0
# Seconds to wait for a lock in the target, and for the end of a statement that sends records.
LOCK_WAIT, SEND_WAIT = 20.0, 60.0
# Seconds after which one attempt is told as an outage: longer than the waits above, which the target itself ends. One
# whose machine answers and whose processes stand still ends none.
STUCK = 90.0
# Seconds after which a target that nothing was sent to is looked at: it may have gone meanwhile.
LOOK_EVERY = 15.0
# Seconds between two warnings while an outage lasts: of the same trouble, and of another one.
WARN_EVERY, WARN_OTHER = 600.0, 60.0


class Forwarder:
    """Feeds `target` from `spool`. One thread calls `start` and `stop`; any thread may read the numbers.

    `sent` counts records new to the target, `rejected` those it cannot hold, `failures` attempts that failed;
    `connected` says whether the last attempt worked, `problem` why it did not, and `behind` how many records were left
    to send then. `backoff` is the first and the longest pause between attempts, and `patience` how long to wait for a
    lock and for a statement, all in seconds; `salt` is the key of this gateway's hashed fields.
    """

    log = Logger()

    def __init__(
        self,
        spool: Engine,
        target: Engine,
        *,
        batch: int = BATCH,
        idle: float = IDLE,
        backoff: tuple[float, float] = (RETRY_FIRST, RETRY_MOST),
        patience: tuple[float, float] = (LOCK_WAIT, SEND_WAIT),
        salt: bytes = b"",
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        lock, statement = patience
        # A change of large tables takes long.
        self._target = with_patience(target, lock=lock)
        self._sending = with_patience(target, lock=lock, statement=statement)
        self.name = target_name(target)
        self._most = self._batch = batch
        self._idle = idle
        self._backoff = backoff
        self._salt = salt
        self._now = now
        self._monotonic = monotonic
        self._last_warning = float("-inf")
        self._warned_of = ""
        self._last_contact = float("-inf")
        self._attempt_began: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._joined = False
        self._strangers: list[dict[str, object]] = []

        self.sent = 0
        self.rejected = 0
        self.failures = 0
        self.connected = False
        self.problem = ""
        self.watermark = 0
        self.behind = 0

    def start(self) -> None:
        """Begin forwarding."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="audit-forward", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End forwarding after the batch under way; the rest is sent after the next start. Blocks."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None
        self._target.dispose()

    def _run(self) -> None:
        failed = 0
        while not self._stop.is_set():
            self._attempt_began = self._monotonic()
            try:
                moved = self.forward_once()
            except Exception as error:
                self._attempt_began = None
                if not isinstance(error, (SQLAlchemyError, StoreError, OSError)):
                    # A mistake of ours. The thread goes on all the same, or the store would fall behind in silence.
                    self.log.failure("forwarding {target}", target=self.name)
                self._note_failure(error)
                # One that is slow gets at least some of them in time.
                self._batch = max(self._batch // 2, 1)
                failed += 1
                self._stop.wait(doubled(*self._backoff, failed))
                continue
            self._attempt_began = None
            if not self.connected:
                self.connected = True
                self.problem = ""
                self._last_warning = float("-inf")
                AUDIT_FORWARDING.emit(self.log, target=self.name)
            failed = 0
            self._batch = min(2 * self._batch, self._most)
            if moved == 0:
                self._stop.wait(self._idle)

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        # A server that restarted has other connections to offer than the ones the pool remembers.
        self._target.dispose()
        # Another gateway may have brought its tables up to a later version meanwhile.
        self._joined = False
        self._last_contact = float("-inf")
        self.connected = False
        # That it is the central store which cannot be opened, whoever shows this says.
        cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
        self._tell(without_password(plain_error(cause)))

    def watch(self) -> None:
        """Report an attempt that does not end. Call this now and then, from another thread.

        Blocks as long as a look at the spool takes.
        """
        began = self._attempt_began
        if began is not None and self._monotonic() - began >= STUCK:
            self.connected = False
            self._tell(
                f"it has not answered for more than {STUCK:.0f} s: it hangs, is very slow, or has its tables changed"
            )

    def _tell(self, problem: str) -> None:
        # A problem other than the one in the log is news, but not every few seconds.
        every = WARN_EVERY if problem == self._warned_of else WARN_OTHER
        self.problem = problem
        self._count_behind()
        if self._monotonic() - self._last_warning >= every:
            self._last_warning, self._warned_of = self._monotonic(), problem
            AUDIT_FORWARD_FAILING.emit(self.log, target=self.name, behind=self.behind, detail=self.problem)

    def _count_behind(self) -> None:
        """Count the records that wait while nothing can be sent. A local store that fails reports that itself."""
        with suppress(SQLAlchemyError, StoreError):
            self.watermark = self.watermark or forwarded_up_to(self._spool, self.name)
            with reading(self._spool) as connection:
                newest = connection.scalar(select(func.max(schema.records.c.seq))) or 0
            self.behind = max(newest - self.watermark, 0)

    def forward_once(self) -> int:
        """Send one batch. Returns how many records it had; 0 means that all are sent.

        Blocks. Raises SQLAlchemy's errors and StoreError.
        """
        if not self._joined:
            migrate(self._target)
            join(self._target, self._salt, f"the central store {self.name}")
            self.watermark = forwarded_up_to(self._spool, self.name)
            self._joined = True
        with reading(self._spool) as connection:
            batch = read_records(connection, after_seq=self.watermark, limit=self._batch)
            newest = connection.scalar(select(func.max(schema.records.c.seq))) or 0
            strangers = [dict(row) for row in connection.execute(select(schema.strangers)).mappings()]
        self.behind = max(newest - self.watermark, 0)
        if strangers != self._strangers:
            self._send_strangers(strangers)
        if not batch:
            self._look()
            return 0
        # Records made from events alone are made again in the store that the events are imported into.
        if own := [record for _, record in batch if not record.from_event]:
            self._send(own)
            self._last_contact = self._monotonic()
        self._note(batch[-1][0])
        self.behind = max(newest - self.watermark, 0)
        return len(batch)

    def _look(self) -> None:
        """Check that the target is still there and still takes records from here, even if there are none to send."""
        if self._monotonic() - self._last_contact < LOOK_EVERY:
            return
        with reading(self._sending) as connection:
            problem = why_not(connection, self._salt) or revision_fault(connection)
        if problem:
            raise StoreError(problem)
        self._last_contact = self._monotonic()

    def _send_strangers(self, rows: list[dict[str, object]]) -> None:
        insert = insert_for(self._target.dialect.name, schema.strangers)
        statement = insert.on_conflict_do_update(
            index_elements=list(schema.strangers.primary_key),
            set_={column.name: insert.excluded[column.name] for column in schema.strangers.c if not column.primary_key},
        )
        with writing(self._sending) as connection:
            connection.execute(statement, rows)
            for gateway, domain in {(str(row["gateway"]), str(row["domain"])) for row in rows}:
                forget_oldest(connection, gateway, domain)
        self._strangers = rows

    def _send(self, batch: Sequence[Record]) -> None:
        with reading(self._sending) as connection:
            if fault := revision_fault(connection):
                raise StoreError(f"the central store {self.name} has to wait for this gateway: {fault}")
        try:
            self.sent += insert_new(self._sending, batch)
        except Exception as error:
            if not is_data_fault(error):
                raise
            if len(batch) == 1:
                self._send_cleaned(batch[0], error)
                return
            middle = len(batch) // 2
            self._send(batch[:middle])
            self._send(batch[middle:])

    def _send_cleaned(self, record: Record, error: Exception) -> None:
        """Send a record that PostgreSQL refused for its text again without NUL characters, which it cannot store."""
        cleaned = replace(
            record,
            client=record.client.replace("\0", ""),
            detail=record.detail.replace("\0", ""),
            machine=record.machine.replace("\0", "") if record.machine is not None else None,
        )
        if cleaned != record:
            self._send([cleaned])
            return
        self.rejected += 1
        AUDIT_FORWARD_REJECTED.emit(
            self.log, target=self.name, record=id_text(record.record_id), detail=plain_error(error)
        )

    def _note(self, seq: int) -> None:
        insert = insert_for("sqlite", schema.forwarding)
        statement = insert.on_conflict_do_update(
            index_elements=["target"], set_={"seq": insert.excluded.seq, "at": insert.excluded.at}
        )
        with writing(self._spool) as connection:
            connection.execute(statement, {"target": self.name, "seq": seq, "at": int(self._now() * 1000)})
        self.watermark = seq
