"""Entries reach the journal's socket with their fields, in its native protocol."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactor
from twisted.logger import Logger, LogLevel

from kmstwist.logevents import CONVERSATION
from kmstwist.reasons import Reason
from kmstwist.telemetry import journal as journal_module
from kmstwist.telemetry.journal import Journal, encode_entry, writes_to_journal
from kmstwist.telemetry.lines import WITHOUT_TIME
from kmstwist.telemetry.log import JournalObserver
from tests.logs import logger
from tests.reactors import in_place_of_one
from tests.waiting import PATIENCE


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "socket"))
        journald.settimeout(PATIENCE)
        yield journald


def test_a_conversation_becomes_an_entry_with_fields(journald: socket.socket, tmp_path: Path) -> None:
    observer = JournalObserver(
        WITHOUT_TIME["text"], "info", Journal("kmstwist", in_place_of_one(MemoryReactor()), tmp_path / "socket")
    )
    CONVERSATION.emit(
        Logger(observer=observer), client="10.0.0.7", result="fault", reason="upstream-timeout", call_ms=1.25
    )
    entry = journald.recv(65536).decode().splitlines()
    assert entry == [
        "MESSAGE=info conversation client=10.0.0.7 result=fault reason=upstream-timeout call_ms=1.2",
        "PRIORITY=6",
        "SYSLOG_IDENTIFIER=kmstwist",
        "KMS_EVENT=conversation",
        "KMS_CLIENT=10.0.0.7",
        "KMS_RESULT=fault",
        "KMS_REASON=upstream-timeout",
        "KMS_CALL_MS=1.2",
    ]


def test_a_value_with_a_line_break_cannot_forge_a_field() -> None:
    assert encode_entry({"KMS_MACHINE": "x\nPRIORITY=0"}) == b"KMS_MACHINE\n\x0c\0\0\0\0\0\0\0x\nPRIORITY=0\n"


def test_values_of_all_kinds_stand_in_their_order() -> None:
    fields = {"A": "1", "B": "x\ny", "C": 2.25, "D": 7, "E": "ü\ud800", "F": Reason.OK, "G": "\n"}
    assert encode_entry(fields) == (
        b"A=1\nB\n\x03\0\0\0\0\0\0\0x\ny\nC=2.2\nD=7\nE=\xc3\xbc\\ud800\nF=ok\nG\n\x01\0\0\0\0\0\0\0\n\n"
    )


def test_an_entry_too_large_for_a_datagram_keeps_its_message(journald: socket.socket, tmp_path: Path) -> None:
    Journal("kmstwist", in_place_of_one(MemoryReactor()), tmp_path / "socket").send(
        "m" * 40_000, LogLevel.error, "defect", {"traceback": "t" * 1_000_000}
    )
    assert journald.recv(65536).startswith(b"MESSAGE=" + b"m" * 32_000 + b"\nPRIORITY=3\n")


def test_standard_output_is_the_journals_only_where_systemd_says_so(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        state = os.fstat(stream.fileno())
        right = {"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"}
        assert writes_to_journal(right, stream.fileno())
        assert not writes_to_journal({"JOURNAL_STREAM": "1:1"}, stream.fileno())
        assert not writes_to_journal({}, stream.fileno())


def read(journald: socket.socket) -> list[str]:
    """The messages received so far."""
    journald.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(journald.recv(65536).decode().splitlines()[0].removeprefix("MESSAGE="))
        except BlockingIOError:
            return messages


def test_a_slow_journal_holds_nobody_up_and_gets_every_line_in_order(journald: socket.socket, tmp_path: Path) -> None:
    """For a socket that nobody reads, the kernel holds a few datagrams; then a blocking send would stop the server."""
    reactor = MemoryReactor()
    journal = Journal("kmstwist", in_place_of_one(reactor), tmp_path / "socket")
    wanted = [f"line {number}" for number in range(5000)]
    for message in wanted:
        journal.send(message, LogLevel.info, "conversation", {})
    assert reactor.getWriters() == [journal]
    came = read(journald)
    assert 0 < len(came) < len(wanted)
    while reactor.getWriters():
        journal.doWrite()
        came += read(journald)
    assert came == wanted


def test_lines_lost_to_a_silent_journal_are_counted(
    journald: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "WAITING", 10)
    reactor, told = MemoryReactor(), list[dict[str, object]]()
    journal = Journal(
        "kmstwist",
        in_place_of_one(reactor),
        tmp_path / "socket",
        logger(lambda event: told.append(event["kms_fields"])),
    )
    for number in range(5000):
        journal.send(f"line {number}", LogLevel.info, "conversation", {})
    assert told == []
    came = read(journald)
    while reactor.getWriters():
        journal.doWrite()
        came += read(journald)
    assert told == [{"lines": 5000 - len(came), "detail": "the journal does not keep up"}]


def test_waiting_lines_are_sent_at_the_end(journald: socket.socket, tmp_path: Path) -> None:
    journal = Journal("kmstwist", in_place_of_one(MemoryReactor()), tmp_path / "socket")
    for number in range(5000):
        journal.send(f"line {number}", LogLevel.info, "conversation", {})
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.extend(journald.recv(65536) for _ in range(5000)))
    reader.start()
    journal.finish()
    reader.join()
    assert came[-1].startswith(b"MESSAGE=line 4999\n")


def test_a_journal_that_is_gone_costs_lines_and_not_the_server(journald: socket.socket, tmp_path: Path) -> None:
    journal = Journal("kmstwist", in_place_of_one(MemoryReactor()), tmp_path / "socket")
    journald.close()
    journal.send("line", LogLevel.info, "conversation", {})
    journal.finish()
