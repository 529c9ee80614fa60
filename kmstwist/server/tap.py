"""What `twistd kms` is made of: `makeService` reads as the list of its parts.

Everything an administrator can get wrong is tried here, before twistd goes into the background: a mistake is one
sentence on the terminal and exit status 1.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from twisted.application.service import MultiService

from kmstwist.admission.admission import Admission
from kmstwist.audit.records import Recorder
from kmstwist.clock import now, run_on_monotonic_time
from kmstwist.configuration.derived import (
    listening_ports,
    refuse_open_passwords,
    refuse_ourselves,
    run_dir,
    server_name,
    state_dir,
    workers_dir,
)
from kmstwist.configuration.model import Config
from kmstwist.conversation.factory import KmsFactory
from kmstwist.kms.interface import KMS
from kmstwist.kms.reach import REACH
from kmstwist.process.control import ControlService
from kmstwist.process.control_client import socket_path
from kmstwist.process.descriptors import Budget, DescriptorWatch
from kmstwist.process.handover import NotHandedOver, TakeOver
from kmstwist.process.inherited import inherited_endpoints
from kmstwist.process.listening import (
    Endpoints,
    ListeningService,
    adopted_endpoint,
    raise_file_limit,
    tried_endpoints,
)
from kmstwist.process.options import Options
from kmstwist.process.ownership import refuse_others_folder, refuse_owned
from kmstwist.process.pidfile import PidFile
from kmstwist.process.signals import Signals
from kmstwist.process.workers.adoption import Adoption
from kmstwist.process.workers.supervisor_watch import SupervisorWatch
from kmstwist.reactor import Reactor, installed_reactor
from kmstwist.rpc import WINDOWS_VERSIONS, AssociationGroups, Limits, RpcServer
from kmstwist.server.activators import make_gateway, make_lab, share_of
from kmstwist.server.announcement import Announcement
from kmstwist.server.commands import Commands
from kmstwist.server.descriptor_budget import budget_for, say_what_does_not_fit, share
from kmstwist.server.dns import Asking, Naming, make_naming
from kmstwist.server.lab_settings import as_set_with_slmgr
from kmstwist.server.monitoring import (
    Observation,
    WorkersObservation,
    make_web,
    own_store,
    store_of_workers,
    with_health,
)
from kmstwist.server.notifying import make_notifying, targets_of
from kmstwist.server.parts import LOADED_LATER, LameDuck, Part, Parts
from kmstwist.server.reload import Reloader
from kmstwist.server.succession import hand_over, own, predecessor_of, take_place
from kmstwist.server.switches import SwitchesFile
from kmstwist.shown import visible_lines
from kmstwist.startup import StartupError, put_aside
from kmstwist.system.privileges import acting_as, load_for, make_folder_for
from kmstwist.system.threads import mend_threads
from kmstwist.telemetry.log import redirect_log

if TYPE_CHECKING:
    from kmstwist.audit.service import AuditService
    from kmstwist.collecting.service import Collector
    from kmstwist.gateway.service import GatewayService
    from kmstwist.lab.service import LabService

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> MultiService:
    """The service tree of `twistd kms`: a server, or with `--workers` the supervisor of several."""
    raise_file_limit()
    reactor = installed_reactor()
    run_on_monotonic_time(reactor)
    mend_threads(reactor)
    reactor.callWhenRunning(reactor.callLater, 0, put_aside)
    try:
        refuse_open_passwords(options.effective)
        pid_file = None if options.pid_file is None else PidFile(options.pid_file, options.identity, reactor)
        root = _make_root(options, options.effective.config, reactor)
        if pid_file is not None:
            # Last, so that a port that cannot be opened leaves no file behind.
            pid_file.setServiceParent(root)
        return root
    except NotHandedOver as error:
        sys.stderr.write(visible_lines(f"kmstwist: {error}\n"))
        sys.exit(error.status)
    except StartupError as error:
        sys.exit(visible_lines(f"kmstwist: {error}"))


def _make_root(options: Options, config: Config, reactor: Reactor) -> MultiService:
    """The server or the supervisor. What lies in the folders of the user that it becomes is opened as that user."""
    is_supervisor = config.server.workers > 1 and options.adoption is None
    identity = options.identity
    load_for(identity, LOADED_LATER)
    try:
        for folder in (state_dir(config), run_dir(config)):
            make_folder_for(identity, folder.absolute())
    except OSError as error:
        raise StartupError(
            f"the folder {folder} cannot be made: {error.strerror}", "make it, or name another"
        ) from None
    if is_supervisor:
        from kmstwist.process.workers.startable import refuse_python_out_of_reach

        refuse_python_out_of_reach(identity)
    with acting_as(identity):
        refuse_others_folder(state_dir(config))
        if not config.gateway.configured:
            config = as_set_with_slmgr(config)
        # What can be found wrong without the state folder is found before another server is asked to leave it.
        predecessor = predecessor_of(options, config)
    # As root, for a port may need that.
    try:
        endpoints = _endpoints(config, options.adoption, predecessor, reactor)
    except StartupError:
        # Where the port is our own other server's, that one is named, and not "another program".
        with acting_as(identity):
            refuse_owned(state_dir(config), "gateway" if config.gateway.configured else "lab")
        raise
    with acting_as(identity):
        make = _make_supervisor if is_supervisor else _make_server
        return make(options, config, endpoints, predecessor, reactor)


def _make_server(
    options: Options, config: Config, endpoints: Endpoints, predecessor: TakeOver | None, reactor: Reactor
) -> MultiService:
    adoption = options.adoption or Adoption(worker=0, of=1, ports=())
    worker = adoption.worker or None
    # Of several workers one looks after what the whole server has once: its name, its events and its forwarding.
    once = adoption.worker <= 1
    asking = Asking(reactor, config.dns.server_addresses)
    gateway = make_gateway(config, reactor, asking, workers=adoption.of) if config.gateway.configured else None
    naming = make_naming(config, gateway, listening_ports(config), reactor, asking) if once else Naming()
    # Of several workers none tells people, and none has a site: their supervisor does.
    targets = targets_of(config.notify) if worker is None else []
    take_place(predecessor, config, lab=gateway is None)
    if worker is None:
        own(config, "lab" if gateway is None else "gateway", predecessor, reactor)
    lab = make_lab(config, reactor) if gateway is None else None
    audit = _make_audit(config, reactor, lab=gateway is None, forwards=once)
    if naming.watch is not None and audit is not None:
        naming.watch.remember = audit.remember_strangers
    budget = budget_for(config, adoption)
    collector = _make_collector(config, reactor, budget, lab=gateway is None) if once else None
    admission = Admission(config.admission, reactor, connections=budget.clients)
    factory = _make_factory(config, adoption, admission, Recorder(audit), reactor)
    drain, identity = config.server.timeouts.drain, options.identity
    listening = ListeningService(endpoints, factory, reactor, drain=drain, identity=identity)
    # As the readiness check says it, so that every management client of RPC sees it, too.
    factory.rpc.listening = lambda: (
        bool(listening.running) and not (admission.paused or admission.leaving) and (gateway is None or gateway.serves)
    )
    observation = Observation(factory, admission, gateway, audit, naming, now(), lab, collector)
    site = make_web(config.web, observation.snapshot, reactor, own_store(audit), budget.web) if worker is None else []
    observation.descriptors = DescriptorWatch(budget.limit, [listening.listeners, *site], reactor)
    listening.listeners.no_room = observation.descriptors.stop_accepting
    parts = Parts()
    reloader = Reloader(options.effective, options.load, parts.apply)
    own_commands = Commands(factory, admission, gateway, reloader, reactor)
    # An earlier version named them by `port`, also where that was not what it listened on.
    own_commands.keep_switches(SwitchesFile(state_dir(config), server_name(config), former=config.server.port))
    if once:
        reactor.callWhenRunning(own_commands.say_switches)
        reactor.callWhenRunning(say_what_does_not_fit, config, budget, adoption.of)
    signals = Signals(reactor, reloader.reload_quietly, interrupted=worker is None)
    # Of workers, their supervisor is the one that waits.
    patience = 0 if worker else config.server.timeouts.lame_duck
    duck = LameDuck(patience, lambda: setattr(admission, "leaving", True), reactor)
    path = socket_path(workers_dir(config) if worker else run_dir(config), server_name(config), worker)
    parts.add(Part(commands=own_commands.table))
    if worker is None:
        announcement = Announcement(config, lab, reactor, listening.listeners, predecessor, answers=True)
        successor = hand_over(listening.listeners, lambda: listening.drain, naming.keep, signals, duck)
        parts.add(Part([announcement], {**successor, "status": with_health(own_commands.status, observation.snapshot)}))
    else:
        parts.add(Part(commands={"keep-name": naming.keep}))
    parts.add(
        # First of all: a gateway that looks for its hosts anew asks these.
        Part(apply=lambda new: setattr(asking, "servers", new.dns.server_addresses)),
        Part(apply=lambda new: redirect_log(new.server.log)),
        Part([audit] if audit is not None else []),
        Part() if collector is None else _collecting(collector),
        _answering(factory, gateway, lab, adoption),
        Part([ControlService(path, parts.commands, reactor, identity=identity)]),
        Part([listening], apply=lambda new: setattr(listening, "drain", new.server.timeouts.drain)),
        Part(apply=lambda new: _set_conversations(factory, new, adoption)),
        Part(apply=lambda new: admission.apply(new.admission, connections=budget_for(new, adoption).clients)),
        Part([observation.descriptors], observation.commands),
        Part(naming.services),
        Part(site),
        Part(make_notifying(config, targets, observation.snapshot, own_store(audit), reactor)),
        Part([signals]),
        Part([SupervisorWatch(reactor, signals.stop)] if worker is not None else []),
        Part([duck]),
    )
    return parts.root()


def _answering(factory: KmsFactory, gateway: GatewayService | None, lab: LabService | None, adoption: Adoption) -> Part:
    """Who answers the calls: the gateway or the lab."""
    if gateway is not None:
        factory.activator, factory.reach = gateway, gateway.check.ask
        return Part([gateway], apply=lambda new: gateway.apply(share_of(new.gateway, adoption.of)))
    assert lab is not None
    factory.activator = lab

    def set_intervals(new: Config) -> None:
        settings = as_set_with_slmgr(new).lab
        lab.set_intervals(settings.activation_interval, settings.renewal_interval)

    return Part([lab], apply=set_intervals)


def _make_audit(config: Config, reactor: Reactor, *, lab: bool, forwards: bool) -> AuditService | None:
    if not config.audit.enabled:
        return None
    from kmstwist.server.auditing import make_audit

    return make_audit(
        config.audit,
        state_dir(config),
        reactor,
        lab=lab,
        forwards=forwards,
        drain=config.server.timeouts.drain,
        names=config.products.names,
    )


def _make_collector(config: Config, reactor: Reactor, budget: Budget, *, lab: bool) -> Collector | None:
    if not config.events.listen:
        return None
    from kmstwist.server.collecting import make_collector

    store = str(config.audit.store_path(state_dir(config), lab=lab)) if config.audit.enabled else None
    return make_collector(config.events, store, reactor, drain=config.server.timeouts.drain, connections=budget.events)


def _collecting(collector: Collector) -> Part:
    from kmstwist.server.collecting import read_certificates_again

    return Part([collector], apply=lambda new: read_certificates_again(collector, new.events))


def _make_factory(
    config: Config, adoption: Adoption, admission: Admission, recorder: Recorder, reactor: Reactor
) -> KmsFactory:
    groups = AssociationGroups(int.from_bytes(os.urandom(4), "little"))
    windows = WINDOWS_VERSIONS[config.server.windows]
    rpc = RpcServer((KMS, REACH), limits=_rpc_limits(config, adoption), groups=groups, windows=windows)
    factory = KmsFactory(rpc, reactor, admission, timeouts=config.server.timeouts, recorder=recorder)
    factory.tracing = config.server.log.level == "debug"
    return factory


def _set_conversations(factory: KmsFactory, new: Config, adoption: Adoption) -> None:
    factory.timeouts = new.server.timeouts
    factory.tracing = new.server.log.level == "debug"
    factory.rpc.limits = _rpc_limits(new, adoption)
    factory.rpc.windows = WINDOWS_VERSIONS[new.server.windows]


def _make_supervisor(
    options: Options, config: Config, endpoints: Endpoints, predecessor: TakeOver | None, reactor: Reactor
) -> MultiService:
    from kmstwist.process.workers.supervisor import Supervisor

    # The workers make the gateway; a mistake is one sentence here, not one from each of them.
    refuse_ourselves(config)
    targets, path = targets_of(config.notify), socket_path(run_dir(config), server_name(config))
    supervisor = Supervisor(endpoints, options, workers_dir(config), reactor)
    take_place(predecessor, config, lab=False)
    own(config, "gateway", predecessor, reactor)
    workers = WorkersObservation(workers_dir(config), server_name(config), config.server.workers, now())
    store = store_of_workers(config.audit, state_dir(config))
    budget = budget_for(config, Adoption(worker=0, of=0, ports=()))
    site = make_web(config.web, workers.snapshot, reactor, store, budget.web)
    workers.descriptors = DescriptorWatch(budget.limit, site, reactor)
    signals = Signals(reactor, supervisor.hang_up, supervisor.reopen_logs)
    duck = LameDuck(config.server.timeouts.lame_duck, lambda: setattr(workers, "leaving", True), reactor)
    announcement = Announcement(config, None, reactor, supervisor.listeners, predecessor, answers=False)
    successor = hand_over(supervisor.listeners, lambda: supervisor.drain, supervisor.keep_name, signals, duck)
    status = with_health(supervisor.commands["status"], workers.snapshot)
    parts = Parts()
    parts.add(
        Part([announcement], successor),
        # It takes a changed configuration itself, since it hands it to the workers.
        Part([supervisor], {**supervisor.commands, "status": status}),
        Part([workers.descriptors]),
        Part(site),
        Part(make_notifying(config, targets, workers.snapshot, store, reactor)),
        Part([ControlService(path, parts.commands, reactor, identity=options.identity)]),
        Part([signals]),
        Part([duck]),
    )
    return parts.root()


def _rpc_limits(config: Config, adoption: Adoption) -> Limits:
    own = config.server.limits
    return Limits(max_request=own.request_bytes, max_reassembly=share(own.reassembly_bytes, adoption.of))


def _endpoints(config: Config, adoption: Adoption | None, predecessor: TakeOver | None, reactor: Reactor) -> Endpoints:
    """What to listen on. Raises `StartupError` for a malformed endpoint, or if the port cannot be opened."""
    if adoption is not None and adoption.ports:
        return [adopted_endpoint(reactor, descriptor) for descriptor in adoption.ports]
    handed = None if predecessor is None else predecessor.socket
    return tried_endpoints(reactor, inherited_endpoints() or config.server.listen, config.server.port, handed)
