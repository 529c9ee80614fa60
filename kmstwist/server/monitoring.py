"""The web listener as a part of the server, and the source of its numbers: this process, or all workers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults, maybeDeferred
from twisted.python.failure import Failure

from kmstwist.addresses import HostPort
from kmstwist.admission.admission import Admission
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.settings import AuditSection
from kmstwist.clock import now
from kmstwist.conversation.factory import KmsFactory
from kmstwist.findings import overall
from kmstwist.kms.catalogue import APPLICATION_NAMES
from kmstwist.process.control import Command
from kmstwist.process.control_client import ask, socket_path
from kmstwist.process.descriptors import DescriptorWatch
from kmstwist.reactor import InThread, Reactor
from kmstwist.server.dns import Naming
from kmstwist.startup import StartupError
from kmstwist.system.threads import in_own_thread
from kmstwist.telemetry.counters import Counters, LabCount, LabState, Snapshot, UpstreamState, together
from kmstwist.telemetry.server_health import judge
from kmstwist.web.settings import WebSettings

# The site takes as long to load as all else, so it is loaded where there is to be one.
if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kmstwist.audit.service import AuditService
    from kmstwist.collecting.service import Collector
    from kmstwist.gateway.service import GatewayService
    from kmstwist.gateway.upstream import Upstream
    from kmstwist.lab.host import LabHost
    from kmstwist.lab.service import LabService
    from kmstwist.web.asker import Store
    from kmstwist.web.service import WebService
    from kmstwist.web.watch import Source

#: The most seconds for a worker's answer; one that takes longer is left out.
_PATIENCE = 2.0


class Observation:
    """The numbers of this process."""

    def __init__(
        self,
        factory: KmsFactory,
        admission: Admission,
        gateway: GatewayService | None,
        audit: AuditService | None,
        naming: Naming,
        started: float,
        lab: LabService | None = None,
        collector: Collector | None = None,
    ) -> None:
        self._collector = collector
        self._lab = lab
        self._factory = factory
        self._admission = admission
        self._gateway = gateway
        self._audit = audit
        self._naming = naming
        self._started = started
        self.descriptors: DescriptorWatch | None = None

    def snapshot(self) -> Snapshot:
        """All numbers at present."""
        counters = self._factory.counters
        snapshot = Snapshot(
            mode="lab" if self._gateway is None else "gateway",
            started=self._started,
            counters=counters,
            connections=len(self._factory.connections),
            paused=self._admission.paused,
            out_of_descriptors=self.descriptors is not None and self.descriptors.out,
            leaving=self._admission.leaving,
        )
        if self._gateway is not None:
            upstreams = self._gateway.directory.upstreams
            snapshot.upstreams.extend(map(self._upstream, upstreams))
            counters.count_calls({upstream.name: asdict(upstream.tally) for upstream in upstreams})
        if self._lab is not None:
            snapshot.lab = _lab_state(self._lab.host)
        if self._audit is not None:
            writer = self._audit.writer
            snapshot.audit.update(waiting=writer.waiting, failing=int(writer.failing))
            if (forwarder := self._audit.forwarder) is not None:
                snapshot.audit.update(behind=forwarder.behind, connected=int(forwarder.connected))
                snapshot.central[forwarder.name] = forwarder.problem
            counters.audit.update(
                committed=writer.committed, dropped=writer.dropped, refused=writer.refused, rejected=writer.rejected
            )
        if self._collector is not None:
            snapshot.events.update(
                waiting=len(self._collector.waiting.queue), failing=int(bool(self._collector.problem))
            )
            counters.events.update(asdict(self._collector.counts))
        if self._naming.publisher is not None:
            snapshot.published.update(self._naming.publisher.problems)
        if self._naming.watch is not None:
            for domain, found in self._naming.watch.strangers.items():
                snapshot.strangers[domain] = [str(HostPort(stranger.host, stranger.port)) for stranger in found]
        return snapshot

    def _upstream(self, upstream: Upstream) -> UpstreamState:
        pool, failure = upstream.pool, upstream.last_failure

        def when(moment: float | None) -> float | None:
            return None if moment is None else now() - upstream.age(moment)

        return UpstreamState(
            upstream.name,
            upstream.state,
            upstream.last_error,
            pool.idle,
            pool.busy,
            pool.waiting,
            address=str(upstream.target.address),
            priority=upstream.priority,
            weight=upstream.target.weight,
            effective_weight=upstream.share,
            changed=when(upstream.changed),
            checked=when(upstream.checked),
            last_error="" if failure is None else failure[1],
            last_error_at=None if failure is None else when(failure[0]),
        )

    def command(self, request: Mapping[str, object]) -> dict[str, Any]:
        """The control command by which a supervisor asks its worker."""
        return {"pid": os.getpid(), "telemetry": self.snapshot().to_json()}

    @property
    def commands(self) -> dict[str, Command]:
        """What to add to the control socket's commands."""
        return {"telemetry": self.command}


def _lab_state(host: LabHost) -> LabState:
    counts = [LabCount(name, host.count(app_id), host.most(app_id)) for app_id, name in APPLICATION_NAMES.items()]
    return LabState(
        host_id=host.host_id,
        products=len(host.covered),
        activation_interval=host.activation_interval,
        renewal_interval=host.renewal_interval,
        requests=host.counters.total,
        refused=host.counters.failed,
        counts=counts,
    )


def with_health(status: Command, source: Source) -> Command:
    """The command "status", whose answer also says how healthy the server is, as `/readyz` says it, and why."""

    def command(request: Mapping[str, object]) -> Deferred[dict[str, Any]]:
        asked = [maybeDeferred(status, request), maybeDeferred(source)]
        return gatherResults(asked, consumeErrors=True).addCallback(with_findings).addErrback(_first)

    def with_findings(answers: list[Any]) -> dict[str, Any]:
        told, snapshot = answers
        findings = judge(snapshot)
        return {
            **told,
            "health": overall(findings).word,
            "findings": [finding.as_json() for finding in findings],
            "central": snapshot.central,
            "central_connected": bool(snapshot.audit.get("connected")),
        }

    return command


def _first(failure: Failure) -> Failure:
    error = failure.value
    return error.subFailure if isinstance(error, FirstError) else failure


class WorkersObservation:
    """The numbers of all workers, added up."""

    def __init__(
        self,
        run_dir: Path,
        name: int | str,
        workers: int,
        started: float,
        in_thread: InThread = in_own_thread,
    ) -> None:
        self._paths = {number: socket_path(run_dir, name, number) for number in range(1, workers + 1)}
        self._started = started
        self._in_thread = in_thread
        #: Whether the whole server is about to stop.
        self.leaving = False
        self._retired = Counters()
        #: Each worker's last answer, with its process id.
        self._last: dict[int, tuple[int, Snapshot]] = {}
        self.descriptors: DescriptorWatch | None = None

    def snapshot(self) -> Deferred[Snapshot]:
        """Ask every worker, and add up."""
        question = {"command": "telemetry"}
        # A worker for which no thread can be started is left out like one that does not answer.
        asked = [maybeDeferred(self._in_thread, ask, path, question, _PATIENCE) for path in self._paths.values()]
        return DeferredList(asked, consumeErrors=True).addCallback(self._together)

    def _together(self, results: list[tuple[bool, Any]]) -> Snapshot:
        answering = []
        silent = Counters()
        silent.add(self._retired)
        for number, (good, answer) in zip(self._paths, results, strict=True):
            before = self._last.get(number)
            if not good:
                if before is not None:
                    silent.add(before[1].counters)
                continue
            pid, snapshot = answer["pid"], Snapshot.from_json(answer["telemetry"])
            if before is not None and before[0] != pid:
                self._retired.add(before[1].counters)
                silent.add(before[1].counters)
            self._last[number] = (pid, snapshot)
            answering.append(snapshot)
        whole = together(answering, retired=silent, wanted=len(self._paths), mode="gateway", started=self._started)
        whole.out_of_descriptors |= self.descriptors is not None and self.descriptors.out
        whole.leaving = whole.leaving or self.leaving
        return whole


def own_store(audit: AuditService | None) -> Store | None:
    """The store of this process's audit, for the reports; None where the audit is off."""
    if audit is None:
        return None

    def store() -> Engine:
        if not audit.running:
            raise StoreError("the server is about to stop", "ask again when it runs")
        return audit.engine

    return store


def store_of_workers(section: AuditSection, state_dir: Path) -> Store | None:
    """The store that the workers write, opened for reading only; None where the audit is off.

    A supervisor is not the one to make it or to change its tables.
    """
    if not section.enabled:
        return None

    @cache
    def store() -> Engine:
        # Here, because a supervisor is there sooner without SQLAlchemy.
        from kmstwist.audit.engine import open_reader

        return open_reader(section.store_path(state_dir), serving=True)

    return store


def make_web(
    settings: WebSettings, source: Source, reactor: Reactor, store: Store | None, most: int | None = None
) -> list[WebService]:
    """The listener that `[web]` asks for, or none; it takes `most` connections at once, by default a site's own number.

    Raises `StartupError`.
    """
    if settings.listen is None:
        return []
    from kmstwist.web.service import WebService

    return [WebService(settings, source, reactor, _central_store(settings) or store, store, most)]


def _central_store(settings: WebSettings) -> Store | None:
    """The central store that the reports are to show, opened for reading only; None where none is named."""
    if settings.store is None:
        return None
    from kmstwist.audit.engine import open_central_reader

    try:
        engine = open_central_reader(settings.store)
    except StoreError as error:
        raise StartupError.of(error, "[web] store") from None
    return lambda: engine
