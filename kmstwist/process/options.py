"""The options of `twistd kms`: each stands for a value of the configuration, and overrides the file's.

The table is in `kmstwist.configuration.options`. The same code checks their types and bounds as the file's, so that a
mistake gives the same sentence with another place, and exit status 1.

The configuration's model, which takes longer to load than all else, is imported where a configuration is made: `--help`
makes none.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import MutableMapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.python import usage

from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.options import OPTIONS, Option
from kmstwist.configuration.whereabouts import CALLED_VARIABLE, CONFIG_VARIABLE
from kmstwist.problem import Problem
from kmstwist.shown import visible_lines
from kmstwist.startup import StartupError
from kmstwist.system.privileges import Identity, fault_of_identity, future_identity

if TYPE_CHECKING:
    from kmstwist.configuration.reading import Effective, Override
    from kmstwist.process.workers.adoption import Adoption

#: twistd's own options, which people write after `kms` but which belong before it.
_TWISTDS = frozenset(
    (
        "-n",
        "--nodaemon",
        "--pidfile",
        "-l",
        "--logfile",
        "--syslog",
        "--prefix",
        "-u",
        "--uid",
        "-g",
        "--gid",
        "--umask",
    )
)
_WANTED: dict[object, str] = {int: "a whole number", float: "a number"}


class Options(usage.Options):
    """The command line. After parsing, `effective` is the whole configuration."""

    synopsis = "[twistd options] kms [options]"
    longdesc = (
        "Runs a gateway in front of the site's own licensed KMS hosts if --upstream or --discover is given, and "
        "otherwise a lab to rehearse volume activation with simulated clients. The lab grants no licences. The "
        "configuration file (--config) can set everything; the options override its values."
    )
    optParameters = [
        ["config", "c", None, "The configuration file (TOML); kmstwist config check FILE checks one."],
        *[[one.name, one.short, None, one.help] for one in OPTIONS if not one.repeated],
    ]
    optFlags = [
        [
            "take-over",
            None,
            "Replace the kmstwist that has this port now: take over its listening sockets, so that no client is "
            "refused, and make it end.",
        ]
    ]
    compData = usage.Completions(
        optActions={"state-dir": usage.CompleteDirs(), "run-dir": usage.CompleteDirs(), "config": usage.CompleteFiles()}
    )
    effective: Effective

    def __init__(self) -> None:
        super().__init__()
        #: The command that the user typed, for messages; no process that this one starts is called so.
        self.called = os.environ.pop(CALLED_VARIABLE, "twistd kms")
        self._parsing_only = False
        self._repeated: dict[str, list[str]] = {}
        #: The command line as it was given; a supervisor gives it to its workers.
        self.arguments: list[str] = []
        #: The file for the process id; None for none.
        self.pid_file: Path | None = None

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
            told = visible_lines(self._sentence(str(error)))
            sys.exit(f"{self.called}: {told} ({self.called} --help lists the options)")

    def parse_only(self, arguments: Sequence[str]) -> None:
        """Parse options without making a configuration or a log from them, to show what they would do."""
        self._parsing_only = True
        self.parseOptions(arguments)

    def postOptions(self) -> None:
        """Make the configuration from the file and the options, and let twistd log as it says.

        A worker begins with the configuration that is in force in the others; its supervisor hands it over.
        """
        if self._parsing_only:
            return
        if fault := fault_of_identity(self.twistd):
            sys.exit(visible_lines(f"kmstwist: {StartupError(*fault)}"))
        from kmstwist.process.pidfile import prepare_pid_file
        from kmstwist.telemetry.log import direct_log

        adoption = self.adoption
        self.effective = self._loaded_or_told()
        try:
            if adoption is None:
                self.pid_file = prepare_pid_file(self.twistd, self.identity)
        except StartupError as error:
            sys.exit(visible_lines(f"kmstwist: {error}"))
        # Not in makeService, because twistd makes its logger before that.
        direct_log(self.twistd, self.effective.config.server.log)

    def _loaded_or_told(self) -> Effective:
        from kmstwist.configuration.reading import Effective

        try:
            handed = None if self.adoption is None else self.adoption.read_config()
            return self.load() if handed is None else Effective(handed, self.config_file)
        except ConfigError as error:
            sys.exit("\n".join(visible_lines(f"{self.called}: {mistake}") for mistake in error.mistakes))

    @cached_property
    def identity(self) -> Identity | None:
        """The user this process becomes once its ports are open; None if it does not change."""
        return future_identity(self.twistd)

    def load(self) -> Effective:
        """The configuration as the file is now. Raises `ConfigError`."""
        from kmstwist.configuration.reading import load

        return load(self.config_file, self.overrides())

    def overrides(self) -> list[Override]:
        """What the environment says, and the options, which override it. Raises `ConfigError` for a text in place of
        a number.
        """
        from kmstwist.configuration import environment
        from kmstwist.configuration.reading import Override

        found = environment.overrides(os.environ)
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
                mistakes.append(Problem(f"must be {_WANTED[one.convert]}", where=shown))
                continue
            value = values if one.repeated else values[0]
            found += [Override(place, value, shown) for place in (one.place, *one.also)]
        if mistakes:
            raise ConfigError(mistakes)
        return found

    def _sentence(self, text: str) -> str:
        """Usage's own errors name an option without its dashes; ours name it as typed, and suggest the one meant."""
        if text == "Wrong number of arguments.":
            return f"there is more than the command takes: {self.arguments[-1]}"
        unknown = re.fullmatch(r"option (--?)([\w-]+) not recognized", text)
        if unknown is None:
            return text
        dashes, name = unknown.groups()
        if dashes + name in _TWISTDS:
            return (
                f"{dashes}{name} is an option of twistd itself and goes before kms: twistd {dashes}{name} ... kms ..."
            )
        near = difflib.get_close_matches(name, [one.rstrip("=") for one in self.longOpt], n=1) if dashes == "--" else []
        meant = f"; did you mean --{near[0]}?" if near else ""
        return f"there is no option {dashes}{name}{meant}"

    @property
    def config_file(self) -> Path | None:
        """The absolute path of the file that the option or the environment names: a daemon changes its folder."""
        named = self["config"] or os.environ.get(CONFIG_VARIABLE)
        return Path(named).absolute() if named else None

    @property
    def adoption(self) -> Adoption | None:
        """What a supervisor handed to this worker; None in any other process."""
        from kmstwist.process.workers.adoption import Adoption

        return Adoption.inherited()

    @property
    def twistd(self) -> MutableMapping[str, Any]:
        """twistd's own options, of which these are a part."""
        return {} if self.parent is None else self.parent


def _add_repeated(option: Option) -> None:
    """Give `Options` the method by which `usage` recognises an option that may be repeated."""

    def take(self: Options, value: str) -> None:
        self._repeated.setdefault(option.name, []).append(value)

    take.__doc__ = f"{option.help} May be repeated."
    setattr(Options, f"opt_{option.name.replace('-', '_')}", take)


for _option in OPTIONS:
    if _option.repeated:
        _add_repeated(_option)
