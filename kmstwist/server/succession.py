"""One server after the other: taking the place of the one before, and being followed by the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kmstwist.configuration.derived import listening_ports, run_dir, server_name, state_dir
from kmstwist.configuration.model import Config
from kmstwist.lab.filemodes import keep_folder_to_owner
from kmstwist.process.control import Command, refuse_second
from kmstwist.process.control_client import socket_path
from kmstwist.process.handover import HandOver, TakeOver
from kmstwist.process.listening import Listeners
from kmstwist.process.options import Options
from kmstwist.process.ownership import Ownership
from kmstwist.process.signals import Signals
from kmstwist.reactor import Reactor
from kmstwist.server.parts import LameDuck

#: How the names of all files begin that a server keeps in its state folder.
_STATE_FILES = ("audit", "control-", "gateway", "lab", "machines", "switches", "notify", "kmstwist")
#: Seconds within which the kernel is done with a process that has ended.
_LAST_OF_IT = 5.0


def predecessor_of(options: Options, config: Config) -> TakeOver | None:
    """The server whose place is to be taken; None where none is, as in a worker. Raises `NotHandedOver`."""
    if not options["take-over"] or options.adoption is not None:
        return None
    return TakeOver.begin(socket_path(run_dir(config), server_name(config)))


def take_place(predecessor: TakeOver | None, config: Config, *, lab: bool) -> None:
    """Have the predecessor leave the state folder, once its store is known to be one that can be opened."""
    if predecessor is not None:
        from kmstwist.server.auditing import try_store

        try_store(config.audit, state_dir(config), lab=lab)
        predecessor.complete()


def own(config: Config, mode: str, predecessor: TakeOver | None, reactor: Reactor) -> None:
    """Take the state folder for this process. Raises `StartupError` where another has it, or our control socket."""
    # A predecessor has ended, but for what the kernel does last.
    patience = 0.0 if predecessor is None else _LAST_OF_IT
    ownership = Ownership(state_dir(config), mode, min(listening_ports(config), default=0), patience=patience)
    refuse_second(socket_path(run_dir(config), server_name(config)))
    # An earlier version, or a hand, may have made it readable to others.
    keep_folder_to_owner(state_dir(config), _STATE_FILES)
    reactor.callWhenRunning(ownership.sign)


def hand_over(
    listeners: Listeners,
    drain: Callable[[], float],
    keep_name: Callable[[], object],
    signals: Signals,
    duck: LameDuck,
) -> Mapping[str, Command]:
    """The commands by which a successor takes our sockets and has us end."""

    def end() -> None:
        # The successor answers already.
        duck.seconds = 0
        signals.stop()

    return HandOver(listeners, drain, keep_name, end).table
