"""One supervisor and its workers: processes that share the listening ports.

The supervisor opens the ports and accepts nothing; each worker inherits them, so that a client that connects while a
worker dies waits in the kernel's queue for another. A worker that ends by itself is replaced, after a wait that doubles
while it keeps dying; one that hangs is found by asking (`hang_detection`). All write their lines to the same place,
each line in one write.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IStreamServerEndpoint
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.configuration.changes import in_force, read_again
from kmstwist.configuration.derived import server_name
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.logevents import WORKER_ENDED, WORKER_NOT_STARTED, WORKER_STARTED
from kmstwist.pacing.waits import doubled
from kmstwist.process.control import Command
from kmstwist.process.control_client import socket_path
from kmstwist.process.listening import Listeners
from kmstwist.process.options import Options
from kmstwist.process.refused_configuration import refused
from kmstwist.process.signals import waiting_in_children
from kmstwist.process.workers.adoption import Adoption, handed_on
from kmstwist.process.workers.command_forwarding import PassingOn
from kmstwist.process.workers.hang_detection import GRACE, Hearing
from kmstwist.reactor import Reactor
from kmstwist.telemetry.ended_workers import Earlier
from kmstwist.telemetry.log import redirect_log

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
#: A worker that lived this many seconds was well: the wait begins at its shortest again.
_LIVED_WELL = 30.0
#: Where the inherited ports begin in a worker, after its standard streams; the configuration follows them.
_FIRST_DESCRIPTOR = 3


class Worker(ProcessProtocol):
    """One place among the workers, and the process that fills it."""

    def __init__(self, number: int, supervisor: Supervisor) -> None:
        self.number = number
        self.pid: int | None = None
        self.started = 0.0
        #: How often it ended soon after it had begun.
        self.failures = 0
        self.restart: IDelayedCall | None = None
        self.ended: Deferred[None] | None = None
        self._supervisor = supervisor

    def processEnded(self, reason: Failure) -> None:
        """Tell the supervisor."""
        self._supervisor.worker_ended(self, reason)


class Supervisor(Service):
    """Starts the workers, replaces those that die, and passes commands and signals on to all of them."""

    def __init__(
        self,
        endpoints: Sequence[tuple[IStreamServerEndpoint, str]],
        options: Options,
        run_dir: Path,
        reactor: Reactor,
        log: Logger | None = None,
    ) -> None:
        self.listeners = Listeners(endpoints, options.identity)
        self._options = options
        self._started = options.effective.config
        #: What a worker that is started now has to do, as those that run do.
        self._in_force = self._started
        self._server = self._started.server
        #: The workers' drain time in seconds.
        self.drain = self._server.timeouts.drain
        self._run_dir = run_dir
        self._reactor = reactor
        self._log = log or Logger(namespace="kmstwist.server")
        self.workers = [Worker(number, self) for number in range(1, self._server.workers + 1)]
        self._earlier = Earlier()
        self._hearing = Hearing(
            self.workers, self._path, self._signal, lambda: self.drain, self._heard, reactor, self._log
        )
        self._passing_on = PassingOn(
            self.workers, self._path, self._earlier.with_those_before, lambda: bool(self.running), reactor
        )

    def privilegedStartService(self) -> None:
        """Open the ports, still with the privileges that a low port needs, and accept nothing on them."""
        super().privilegedStartService()
        self.listeners.open(Factory())
        self.listeners.pause()

    def startService(self) -> None:
        """Start the workers."""
        super().startService()
        for worker in self.workers:
            self._reactor.callWhenRunning(self._start, worker)
        self._hearing.start()

    def stopService(self) -> Deferred[None]:
        """Tell every worker to drain and end; kill those that do not."""
        super().stopService()
        waiting: list[Deferred[None]] = []
        for worker in self.workers:
            if worker.restart is not None:
                worker.restart.cancel()
                worker.restart = None
            if worker.pid is not None:
                worker.ended = Deferred()
                waiting.append(worker.ended)
                self._signal(worker, signal.SIGTERM)
        kill = self._reactor.callLater(self.drain + GRACE, self._kill)
        self._hearing.stop()

        def done(_: object) -> Deferred[object]:
            if kill.active():
                kill.cancel()
            self._hearing.close()
            return self.listeners.close()

        return DeferredList(waiting).addCallback(done).addCallback(lambda _: None)

    def hang_up(self) -> None:
        """Pass a changed configuration on, if it is valid: its mistakes give one log line, not one per worker."""
        try:
            self._take_on()
        except ConfigError:
            # Its mistakes are in the log, and the old configuration stays.
            return
        for worker in self.workers:
            self._signal(worker, signal.SIGHUP)

    def _take_on(self) -> None:
        """Apply the changed configuration to the supervisor itself. Raises `ConfigError`, which is in the log."""
        new = read_again(self._options.load, self._started, self._log).config
        self._in_force = in_force(self._started, new)
        self.drain = new.server.timeouts.drain
        redirect_log(new.server.log)

    def keep_name(self) -> Deferred[dict[str, Any]]:
        """Tell the workers to leave the record in DNS when they end."""
        return self._passing_on.pass_on({"command": "keep-name"})

    def reopen_logs(self) -> None:
        """Tell the workers to open their log file again, as this process has done."""
        for worker in self.workers:
            self._signal(worker, signal.SIGUSR1)

    # Workers.

    def _start(self, worker: Worker) -> None:
        worker.restart = None
        if not self.running:
            return
        # Standard input is a pipe by which the worker knows that the supervisor is alive; the output is shared.
        descriptors: dict[int, int | str] = {0: "w", 1: 1, 2: 2}
        ports = []
        for offset, (_, port) in enumerate(self.listeners.ports):
            ports.append(_FIRST_DESCRIPTOR + offset)
            descriptors[_FIRST_DESCRIPTOR + offset] = port.fileno()
        config = _FIRST_DESCRIPTOR + len(ports)
        adoption = Adoption(worker=worker.number, of=len(self.workers), ports=tuple(ports), config=config)
        try:
            with handed_on(self._in_force) as descriptor, waiting_in_children():
                process = self._reactor.spawnProcess(
                    worker,
                    sys.executable,
                    worker_command(self._options),
                    env=adoption.environment(),
                    childFDs={**descriptors, config: descriptor},
                )
        except OSError as error:
            # There is no process, memory or descriptor at present, or Python is being replaced by a new version.
            worker.failures += 1
            wait = doubled(_FIRST_WAIT, _LONGEST_WAIT, worker.failures)
            WORKER_NOT_STARTED.emit(self._log, worker=worker.number, detail=error.strerror or str(error), again_s=wait)
            worker.restart = self._reactor.callLater(wait, self._start, worker)
            return
        worker.pid = process.pid
        worker.started = self._reactor.seconds()
        WORKER_STARTED.emit(self._log, worker=worker.number, worker_pid=worker.pid)
        self._passing_on.started(worker)

    def worker_ended(self, worker: Worker, reason: Failure) -> None:
        """Start another in its place, unless the supervisor stops."""
        pid, worker.pid = worker.pid, None
        if worker.ended is not None:
            ended, worker.ended = worker.ended, None
            ended.callback(None)
            return
        if self._hearing.has_heard(worker, pid) and self._reactor.seconds() - worker.started > _LIVED_WELL:
            worker.failures = 0
        worker.failures += 1
        wait = doubled(_FIRST_WAIT, _LONGEST_WAIT, worker.failures)
        how = "exit status 0" if reason.check(ProcessDone) else reason.getErrorMessage().rstrip(".")
        WORKER_ENDED.emit(self._log, worker=worker.number, worker_pid=pid, how=how, again_s=wait)
        worker.restart = self._reactor.callLater(wait, self._start, worker)

    def _signal(self, worker: Worker, number: signal.Signals) -> None:
        if worker.pid is not None and worker.transport is not None:
            # If the worker has just ended by itself, processEnded says so in a moment.
            with suppress(ProcessExitedAlready):
                worker.transport.signalProcess(number)

    def _heard(self, worker: Worker, pid: int, answer: dict[str, Any]) -> None:
        self._earlier.with_those_before(worker.number, pid, answer)

    def _kill(self) -> None:
        for worker in self.workers:
            self._signal(worker, signal.SIGKILL)

    # Commands.

    @property
    def commands(self) -> Mapping[str, Command]:
        """The control socket's commands: each is passed on to all workers, and their answers are merged."""
        names = ("status", "upstreams", "drain", "undrain", "pause", "resume")
        return {**dict.fromkeys(names, self._passing_on.pass_on), "reload": self._reload}

    def _reload(self, request: Mapping[str, object]) -> Deferred[dict[str, Any]]:
        try:
            self._take_on()
        except ConfigError as error:
            raise refused(error) from None
        return self._passing_on.pass_on(request)

    def _path(self, worker: Worker) -> Path:
        return socket_path(self._run_dir, server_name(self._started), worker.number)


def worker_command(options: Options) -> list[str]:
    """The command line of a worker: this one's own, in the foreground, with the same log."""
    twistd = options.twistd
    command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile="]
    if twistd.get("syslog"):
        command += ["--syslog", f"--prefix={twistd.get('prefix') or 'kmstwist'}"]
    elif twistd.get("logfile") or not twistd.get("nodaemon"):
        command.append(f"--logfile={twistd.get('logfile') or 'twistd.log'}")
    if twistd.get("reactor"):
        command.append(f"--reactor={twistd['reactor']}")
    return [*command, "kms", *options.arguments]
