"""The options of `twistd kms`: each stands for a value of the configuration, and overrides the file's.

An option is one line of `OPTIONS`: its name, the place of the value it sets, its type. Types and bounds are checked
where the file's are, so a mistake is the same sentence with another place, and exit status 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.python import usage

from kmstwist.server.adoption import Adoption
from kmstwist.server.configfile import ConfigError, Effective, Override, Place, load
from kmstwist.server.log import direct_log


@dataclass(frozen=True, slots=True)
class Option:
    """An option: `--name`, the place of its value, how its text becomes one, and what it does.

    A `repeated` option may be given several times, and its values are the list that stands at the place. The value is
    put into the places in `also`, too.
    """

    name: str
    place: Place
    convert: Callable[[str], Any]
    help: str
    short: str | None = None
    repeated: bool = False
    also: tuple[Place, ...] = ()


def _families(text: str) -> list[str]:
    return [family.strip() for family in text.split(",")]


def _upstream(text: str) -> dict[str, Any]:
    return {"address": text}


OPTIONS = (
    Option("port", ("server", "port"), int, "TCP port to listen on, for IPv4 and IPv6.", "p"),
    Option(
        "listen",
        ("server", "listen"),
        str,
        "Listen on this Twisted endpoint instead of --port, for example tcp:1688:interface=10.0.0.1, "
        "tcp6:port=1688:interface=\\:\\: or systemd:domain=INET6:index=0.",
        repeated=True,
    ),
    Option("state-dir", ("server", "state_dir"), str, "Folder for what must outlive the process."),
    Option("run-dir", ("server", "run_dir"), str, "Folder for the control socket. [the state folder]"),
    Option("workers", ("server", "workers"), int, "Processes that share the port; a gateway only. [1]"),
    Option("log-format", ("server", "log", "format"), str, "How log lines look: text (key=value) or json. [text]"),
    Option(
        "log-level", ("server", "log", "level"), str, "The least level that is logged: debug, info, warn, error. [info]"
    ),
    Option(
        "idle-timeout",
        ("server", "timeouts", "idle"),
        float,
        "Seconds a client may be silent: the timeouts first_byte, request and idle in one. [10, 30 and 30]",
        also=(("server", "timeouts", "first_byte"), ("server", "timeouts", "request")),
    ),
    Option("drain-timeout", ("server", "timeouts", "drain"), float, "Seconds for calls under way when stopping. [10]"),
    Option(
        "max-connections",
        ("server", "limits", "connections"),
        int,
        "Connections open at the same time; more are closed at once. [20000]",
    ),
    Option(
        "upstream",
        ("gateway", "upstreams"),
        _upstream,
        "A licensed KMS host to stand before, as HOST or HOST:PORT. Instead of the file's.",
        repeated=True,
    ),
    Option("discover", ("gateway", "discover"), str, "Find KMS hosts by _vlmcs._tcp SRV records of this domain."),
    Option(
        "dns-server",
        ("dns", "servers"),
        str,
        "DNS server to ask, as ADDRESS or ADDRESS:PORT. [those of /etc/resolv.conf]",
        repeated=True,
    ),
    Option("policy", ("gateway", "policy"), str, "How an upstream is chosen: sticky or spread. [sticky]"),
    Option("deadline", ("gateway", "deadline"), float, "Seconds a call may take over all upstreams. [10]"),
    Option(
        "upstream-timeout",
        ("gateway", "attempt_timeout"),
        float,
        "Seconds one upstream may take for an answer before the next is tried. [5]",
    ),
    Option(
        "activation-interval",
        ("lab", "activation_interval"),
        int,
        "Lab: minutes between the attempts of a client not activated yet. [120]",
    ),
    Option(
        "renewal-interval",
        ("lab", "renewal_interval"),
        int,
        "Lab: minutes between the renewals of an activated client. [10080]",
    ),
    Option(
        "lab-products",
        ("lab", "products"),
        _families,
        "Lab: product families its host covers, with commas: Windows, Windows Server, Office. [all]",
    ),
    Option(
        "lab-clock-error",
        ("lab", "clock_error"),
        float,
        "Lab: minutes its host's clock is ahead, to see clients refused for it (0xC004F06C). [0]",
    ),
    Option("web", ("web", "listen"), str, "Health, metrics and status page at this address, such as 127.0.0.1:9688."),
    Option("allow", ("admission", "allow"), str, "A network that may ask. Instead of the private ones.", repeated=True),
    Option("deny", ("admission", "deny"), str, "A network that may not ask.", repeated=True),
    Option(
        "proxy-from",
        ("admission", "proxy_from"),
        str,
        "A load balancer that puts a PROXY protocol header before its connections.",
        repeated=True,
    ),
)
_WANTED: dict[Any, str] = {int: "a whole number", float: "a number"}


class Options(usage.Options):
    """What the command line says. After parsing, `effective` is the whole configuration."""

    synopsis = "[twistd options] kms [options]"
    longdesc = (
        "With --upstream or --discover a gateway before the site's own licensed KMS hosts; without, a lab to rehearse "
        "volume activation with simulated clients. The lab grants no licences. All that can be set stands in the "
        "configuration file (--config), whose values the options override."
    )
    optParameters = [
        ["config", "c", None, "The configuration file, TOML; kmstwist config check FILE checks one."],
        *[[one.name, one.short, None, one.help] for one in OPTIONS if not one.repeated],
    ]
    optFlags = [
        [
            "take-over",
            None,
            "Start in the place of the kmstwist that has this port now: take its listening sockets, so that no client "
            "is refused, and have it end.",
        ]
    ]
    compData = usage.Completions(
        optActions={"state-dir": usage.CompleteDirs(), "run-dir": usage.CompleteDirs(), "config": usage.CompleteFiles()}
    )
    effective: Effective

    def __init__(self) -> None:
        super().__init__()
        self._parsing_only = False
        self._repeated: dict[str, list[str]] = {}
        #: The command line as it was given; a supervisor gives it to its workers.
        self.arguments: list[str] = []

    def opt_version(self) -> None:
        """Show kmstwist's version and exit."""
        from kmstwist import __version__

        sys.stdout.write(f"kmstwist {__version__}\n")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, and end the process with one sentence and status 1 if something is wrong.

        twistd would print all of its help first, and exit with 0.
        """
        self.arguments = list(sys.argv[1:] if options is None else options)
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            sys.exit(f"twistd kms: {_sentence(str(error))} (twistd kms --help lists the options)")

    def parse_only(self, arguments: Sequence[str]) -> None:
        """Parse options without making the configuration or the log of them; for showing what they would do."""
        self._parsing_only = True
        self.parseOptions(arguments)

    def postOptions(self) -> None:
        """Make the configuration of the file and the options, and have twistd log as it says.

        A worker begins with what is in force among the others, which its supervisor hands to it.
        """
        if self._parsing_only:
            return
        try:
            adoption = self.adoption
            handed = None if adoption is None else adoption.read_config()
            self.effective = self.load() if handed is None else Effective(handed, self.config_file)
        except ConfigError as error:
            sys.exit("\n".join(f"twistd kms: {mistake}" for mistake in error.mistakes))
        # Here and not in makeService: twistd makes its logger between the two.
        direct_log(self.twistd, self.effective.config.server.log)

    def load(self) -> Effective:
        """The configuration as the file is now. Raises `ConfigError`."""
        return load(self.config_file, self.overrides())

    def overrides(self) -> list[Override]:
        """What the options say. Raises `ConfigError` for text that is no number where one belongs."""
        found = []
        mistakes = []
        for one in OPTIONS:
            given: list[str] = self._repeated.get(one.name, [])
            if not one.repeated and self[one.name] is not None:
                given = [self[one.name]]
            if not given:
                continue
            shown = f"--{one.name}={','.join(given)}"
            try:
                values = [one.convert(text) for text in given]
            except ValueError:
                mistakes.append(f"{shown}: must be {_WANTED[one.convert]}")
                continue
            value = values if one.repeated else values[0]
            found += [Override(place, value, shown) for place in (one.place, *one.also)]
        if mistakes:
            raise ConfigError(mistakes)
        return found

    @property
    def config_file(self) -> Path | None:
        """The configuration file that was named, absolute, since a daemon changes its folder."""
        return Path(self["config"]).absolute() if self["config"] else None

    @property
    def adoption(self) -> Adoption | None:
        """What a supervisor handed to this worker; None in any other process."""
        return Adoption.inherited()

    @property
    def twistd(self) -> MutableMapping[str, Any]:
        """twistd's own options, of which these are a part."""
        return {} if self.parent is None else self.parent


def _add_repeated(option: Option) -> None:
    """Give `Options` the method by which `usage` knows an option that may be repeated."""

    def take(self: Options, value: str) -> None:
        self._repeated.setdefault(option.name, []).append(value)

    take.__doc__ = f"{option.help} May be repeated."
    setattr(Options, f"opt_{option.name.replace('-', '_')}", take)


for _option in OPTIONS:
    if _option.repeated:
        _add_repeated(_option)


def _sentence(text: str) -> str:
    """Usage's own errors name an option without its dashes; ours name it as it is typed."""
    if text.startswith("option "):
        return "unknown or incomplete " + text
    return text
