"""The control socket's commands in a server: list and drain upstreams, pause, reload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from kmstwist.admission.admission import Admission
from kmstwist.clock import now
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.conversation.factory import KmsFactory
from kmstwist.logevents import LEAVING, PAUSED, STILL_SWITCHED, SWITCHES_LOST, UPSTREAM_DRAIN
from kmstwist.process.control import Command
from kmstwist.process.control_client import CommandError
from kmstwist.process.refused_configuration import refused
from kmstwist.server.reload import Reloader
from kmstwist.server.switches import Switches, SwitchesError, SwitchesFile

# A lab has none.
if TYPE_CHECKING:
    from kmstwist.gateway.service import GatewayService
    from kmstwist.gateway.upstream import Upstream

#: The most seconds by which a pause can be delayed.
LONGEST_AFTER = 3600.0


class Commands:
    """The commands of one server process. `table` has them for the control socket."""

    def __init__(
        self,
        factory: KmsFactory,
        admission: Admission,
        gateway: GatewayService | None,
        reloader: Reloader,
        clock: IReactorTime,
        log: Logger | None = None,
    ) -> None:
        self._factory = factory
        self._admission = admission
        self._gateway = gateway
        self._reloader = reloader
        self._log = log or Logger(namespace="kmstwist.server")
        self._switches: SwitchesFile | None = None
        self._clock = clock
        self._pausing: IDelayedCall | None = None

    def keep_switches(self, file: SwitchesFile) -> None:
        """Switch what the file says was switched before the restart, and keep in it what is switched from now on."""
        self._switches = file
        try:
            before = file.read()
        except SwitchesError as error:
            SWITCHES_LOST.emit(self._log, detail=str(error))
            return
        # A pause that was asked for before this process began comes when it was to come; a clock that was set back
        # meanwhile puts it off by so much at most.
        wait = None if before.pause_at is None else min(before.pause_at - now(), LONGEST_AFTER)
        self._admission.paused |= before.paused or (wait is not None and wait <= 0)
        if wait is not None and not self._admission.paused:
            self._pause_later(wait)
        if self._gateway is not None:
            self._gateway.directory.drain(before.drained)

    def say_switches(self) -> None:
        """Log what is switched by hand: an administrator who did it weeks ago may wonder."""
        drained = () if self._gateway is None else self._gateway.directory.drained
        paused = self._admission.paused
        if paused or drained:
            cures = ["kmstwist gateway resume"] * paused + [f"kmstwist upstreams undrain {name}" for name in drained]
            STILL_SWITCHED.emit(
                self._log, paused="yes" if paused else "", drained=",".join(drained), cure="; ".join(cures)
            )

    @property
    def table(self) -> dict[str, Command]:
        """Every command by its name."""
        return {
            "status": self.status,
            "upstreams": self.upstreams,
            "drain": self.drain,
            "undrain": self.undrain,
            "pause": self.pause,
            "resume": self.resume,
            "reload": self.reload,
        }

    def status(self, request: Mapping[str, object]) -> dict[str, object]:
        """The server's numbers."""
        return {
            "mode": "lab" if self._gateway is None else "gateway",
            "paused": self._admission.paused,
            "leaving": self._admission.leaving,
            "connections": len(self._factory.connections),
            "counted": self._admission.open_connections,
            "conversations": self._factory.conversations,
            "activations": self._factory.activations,
        }

    def upstreams(self, request: Mapping[str, object]) -> dict[str, object]:
        """Every upstream with its state and its numbers."""
        return {"upstreams": [describe(upstream) for upstream in self._the_gateway().directory.upstreams]}

    def drain(self, request: Mapping[str, object]) -> dict[str, object]:
        """Send no more calls to an upstream."""
        return self._switch(request, drained=True)

    def undrain(self, request: Mapping[str, object]) -> dict[str, object]:
        """Send calls there again."""
        return self._switch(request, drained=False)

    def pause(self, request: Mapping[str, object]) -> dict[str, object]:
        """Answer every call with "too busy"; with `after`, only after this many seconds."""
        after = request.get("after", 0)
        if not isinstance(after, int | float):
            raise CommandError("after must be a number of seconds")
        if not after or self._admission.paused:
            return self._pause(True)
        self._stay()
        self._pause_later(after)
        return {"paused": False, "not_kept": self._keep()}

    def resume(self, request: Mapping[str, object]) -> dict[str, object]:
        """Answer calls again."""
        return self._pause(False)

    def reload(self, request: Mapping[str, object]) -> dict[str, object]:
        """Apply the configuration file as it is now."""
        try:
            return self._reloader.reload()
        except ConfigError as error:
            raise refused(error) from None

    def _switch(self, request: Mapping[str, object], *, drained: bool) -> dict[str, object]:
        directory = self._the_gateway().directory
        from kmstwist.gateway.directory import UnknownUpstream

        name = str(request.get("upstream"))
        try:
            upstream = directory.named(name)
        except UnknownUpstream as error:
            if drained or name not in directory.drained:
                raise CommandError(str(error)) from None
            # It was drained, and is gone from the configuration or from DNS since; it may come back.
            directory.undrain(name)
            return {"upstreams": [], "not_kept": self._keep()}
        if drained:
            directory.drain([name])
        else:
            directory.undrain(name)
        UPSTREAM_DRAIN.emit(self._log, upstream=upstream.name, state=upstream.state)
        return {"upstreams": [describe(upstream)], "not_kept": self._keep()}

    def _pause_later(self, seconds: float) -> None:
        LEAVING.emit(self._log, seconds=round(seconds, 1), then="pause")
        self._admission.leaving = True
        self._pausing = self._clock.callLater(seconds, self._pause, True)

    def _stay(self) -> None:
        """Cancel a pause that is about to come."""
        self._admission.leaving = False
        if self._pausing is not None and self._pausing.active():
            self._pausing.cancel()
        self._pausing = None

    def _pause(self, paused: bool) -> dict[str, object]:
        self._stay()
        if self._admission.paused != paused:
            self._admission.paused = paused
            PAUSED.emit(self._log, paused="yes" if paused else "no")
        return {"paused": paused, "not_kept": self._keep()}

    def _keep(self) -> str:
        """Store the switches for a restart. Returns why that failed, or ""."""
        if self._switches is None:
            return ""
        drained = () if self._gateway is None else self._gateway.directory.drained
        pause_at = None
        if self._pausing is not None and self._pausing.active():
            pause_at = now() + self._pausing.getTime() - self._clock.seconds()
        switches = Switches(paused=self._admission.paused, drained=frozenset(drained), pause_at=pause_at)
        try:
            self._switches.write(switches)
        except SwitchesError as error:
            SWITCHES_LOST.emit(self._log, detail=str(error))
            return str(error)
        return ""

    def _the_gateway(self) -> GatewayService:
        if self._gateway is None:
            raise CommandError("this server is a lab: it has no upstreams")
        return self._gateway


def describe(upstream: Upstream) -> dict[str, object]:
    """An upstream's state and numbers, as `kmstwist upstreams list` shows them."""
    pool, tally, target = upstream.pool, upstream.tally, upstream.target
    return {
        "name": upstream.name,
        "address": str(target.address),
        "found": "dns" if target.discovered else "configured",
        "priority": target.priority,
        "weight": target.weight,
        "state": upstream.state,
        "detail": upstream.last_error,
        "idle": pool.idle,
        "busy": pool.busy,
        "waiting": pool.waiting,
        "answered": tally.answered,
        "refused": tally.refused,
        "failed": tally.failed,
    }
