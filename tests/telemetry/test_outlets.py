"""Log lines to a hanging reader: nobody waits, a bounded number is kept, and the loss is reported."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel

from kmstwist.telemetry import outlets
from kmstwist.telemetry.log import LogFile
from kmstwist.telemetry.outlets import StreamOutlet, SyslogOutlet
from tests.logs import logger
from tests.reactors import in_place_of_one
from tests.waiting import PATIENCE


class Reactor(MemoryReactorClock):
    """A running reactor with the test's own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.running = True


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read(descriptor: int) -> bytes:
    """Everything in a pipe."""
    data = b""
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except BlockingIOError:
            return data
        data += piece


def drained(outlet: StreamOutlet, reactor: Reactor, reading: int) -> bytes:
    """Read to the end. Returns what came."""
    came = read(reading)
    while reactor.getWriters():
        outlet.doWrite()
        came += read(reading)
    return came


def test_the_lines_of_a_turn_are_written_at_its_end_in_their_order(pipe: tuple[int, int]) -> None:
    reactor = Reactor()
    outlet = StreamOutlet(pipe[1], in_place_of_one(reactor))
    wanted = [f"line {number} " + "x" * (number % 300) for number in range(200)]
    for line in wanted:
        outlet.write(line, LogLevel.info)
    assert read(pipe[0]) == b""
    reactor.advance(0)
    assert read(pipe[0]).decode().splitlines() == wanted


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_gets_every_line_in_order(pipe: tuple[int, int]) -> None:
    reactor = Reactor()
    outlet = StreamOutlet(pipe[1], in_place_of_one(reactor))
    wanted = [f"line {number} " + "x" * 200 for number in range(5000)]
    for line in wanted:
        outlet.write(line, LogLevel.info)
        reactor.advance(0)
    assert reactor.getWriters() == [outlet]
    assert drained(outlet, reactor, pipe[0]).decode().splitlines() == wanted


def test_lines_that_do_not_fit_are_dropped_counted_and_reported_later(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlets, "WAITING", 10)
    reactor, told = Reactor(), list[dict[str, object]]()
    outlet = StreamOutlet(pipe[1], in_place_of_one(reactor), logger(lambda event: told.append(event["kms_fields"])))
    for number in range(5000):
        outlet.write(f"line {number} " + "x" * 200, LogLevel.info)
        reactor.advance(0)
    assert told == []
    came = drained(outlet, reactor, pipe[0]).decode().splitlines()
    assert told == [{"lines": 5000 - len(came), "detail": "the reader of standard output does not keep up"}]


def test_lines_logged_while_no_loop_runs_are_written_at_once(pipe: tuple[int, int]) -> None:
    reactor = Reactor()
    reactor.running = False
    StreamOutlet(pipe[1], in_place_of_one(reactor)).write("the last words", LogLevel.info)
    assert read(pipe[0]) == b"the last words\n"


def test_a_file_takes_everything(tmp_path: Path) -> None:
    reactor = Reactor()
    with (tmp_path / "out").open("wb") as stream:
        outlet = StreamOutlet(stream.fileno(), in_place_of_one(reactor))
        for number in range(5000):
            outlet.write(f"line {number}", LogLevel.info)
        reactor.advance(0)
    assert (tmp_path / "out").read_text().splitlines() == [f"line {number}" for number in range(5000)]


def test_a_full_disk_costs_all_lines_of_a_turn_and_each_is_counted(tmp_path: Path) -> None:
    reactor, told = Reactor(), list[dict[str, object]]()
    with Path("/dev/full").open("wb") as full, (tmp_path / "out").open("wb") as with_room:
        outlet = StreamOutlet(
            full.fileno(), in_place_of_one(reactor), logger(lambda event: told.append(event["kms_fields"]))
        )
        for number in range(3):
            outlet.write(f"line {number}", LogLevel.info)
        reactor.advance(0)
        os.dup2(with_room.fileno(), full.fileno())
        outlet.write("there is room again", LogLevel.info)
        reactor.advance(0)
    assert (tmp_path / "out").read_text() == "there is room again\n"
    assert told == [{"lines": 3, "detail": "No space left on device"}]


@pytest.fixture
def syslogd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslogd:
        syslogd.bind(str(tmp_path / "log"))
        syslogd.settimeout(PATIENCE)
        yield syslogd


def test_a_line_to_syslog_has_its_priority_and_its_sender(syslogd: socket.socket, tmp_path: Path) -> None:
    outlet = SyslogOutlet("kmstwist", in_place_of_one(Reactor()), tmp_path / "log")
    outlet.write("warn upstream-down upstream=kms1", LogLevel.warn)
    entry = syslogd.recv(65536).decode()
    pattern = r"<28>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d kmstwist\[\d+\]: warn upstream-down upstream=kms1"
    assert re.fullmatch(pattern, entry)


def test_a_hanging_syslog_holds_nobody_up(syslogd: socket.socket, tmp_path: Path) -> None:
    reactor = Reactor()
    outlet = SyslogOutlet("kmstwist", in_place_of_one(reactor), tmp_path / "log")
    for number in range(5000):
        outlet.write(f"info conversation number={number}", LogLevel.info)
    assert reactor.getWriters() == [outlet]


def test_a_syslog_that_was_restarted_is_written_to_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as before:
        before.bind(str(path))
        outlet = SyslogOutlet("kmstwist", in_place_of_one(Reactor()), path)
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as after:
        after.bind(str(path))
        after.settimeout(PATIENCE)
        outlet.write("info conversation client=10.0.0.7", LogLevel.info)
        assert after.recv(65536).endswith(b"info conversation client=10.0.0.7")


def test_a_syslog_that_starts_after_us_and_then_hangs_holds_nobody_up(tmp_path: Path) -> None:
    path, reactor, told = tmp_path / "log", Reactor(), []
    log = logger(lambda event: told.append(event["kms_fields"]["lines"]))
    outlet = SyslogOutlet("kmstwist", in_place_of_one(reactor), path, log)
    for number in range(3):
        outlet.write(f"info conversation number={number}", LogLevel.info)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslogd:
        syslogd.bind(str(path))
        for number in range(5000):
            outlet.write(f"info conversation number={number}", LogLevel.info)
        assert (told, reactor.getWriters()) == ([3], [outlet])


def test_a_syslog_that_listens_for_streams_gets_every_line_and_holds_nobody_up(tmp_path: Path) -> None:
    path, reactor = tmp_path / "log", Reactor()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as syslogd:
        syslogd.bind(str(path))
        syslogd.listen()
        outlet = SyslogOutlet("kmstwist", in_place_of_one(reactor), path)
        for number in range(5000):
            outlet.write(f"info conversation number={number}", LogLevel.info)
        assert reactor.getWriters() == [outlet]
        reader, _ = syslogd.accept()
        with reader:
            reader.setblocking(False)
            came = b""
            while reactor.getWriters():
                came += read(reader.fileno())
                outlet.doWrite()
            came += read(reader.fileno())
    entries = came.split(b"\0")
    assert [entry.rpartition(b"=")[2] for entry in entries] == [*(b"%d" % number for number in range(5000)), b""]


def test_a_syslog_of_streams_that_was_restarted_is_written_to_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as before:
        before.bind(str(path))
        before.listen()
        outlet = SyslogOutlet("kmstwist", in_place_of_one(Reactor()), path)
        outlet.write("info conversation client=10.0.0.6", LogLevel.info)
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as after:
        after.bind(str(path))
        after.listen()
        outlet.write("info conversation client=10.0.0.7", LogLevel.info)
        reader, _ = after.accept()
        with reader:
            assert reader.recv(65536).endswith(b"info conversation client=10.0.0.7\0")


def test_a_named_pipe_in_a_file_s_place_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    file = LogFile(tmp_path / "log")
    for number in range(5000):
        file.write(f"line {number}", None)
