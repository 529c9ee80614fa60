"""Runs the scripts that `language` has read: values, comparisons, and the commands that query a machine's licences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from kmstwist.lab.windows import printing
from kmstwist.lab.windows.cim import Instance
from kmstwist.lab.windows.language import Reader
from kmstwist.lab.windows.shell import Arguments, Code, Parameters, PowerShellError
from kmstwist.lab.windows.values import Matched, Values, number
from kmstwist.lab.windows.wql import WqlError, condition, query


class World(Protocol):
    """The things that a script can reach: the machine's instances, its registry and its programs."""

    def instances(self, class_name: str) -> list[Instance]:
        """The instances of a class; fails with `PowerShellError` for a class that the lab does not have."""

    def invoke(self, instance: Instance, method: str, arguments: Sequence[str]) -> None:
        """Call an instance's method; fails with `PowerShellError`."""

    def program(self, name: str, arguments: Sequence[str]) -> tuple[list[str], int] | None:
        """Run one of the machine's programs. Returns its lines and exit status; None if there is no such program."""

    def registry(self, key: str) -> dict[str, str | int]:
        """The values in a key of the registry; fails with `PowerShellError` for one that is not there."""

    def set_registry(self, key: str, name: str, value: str | None) -> None:
        """Set a value in a key of the registry, or remove it; fails with `PowerShellError`."""


class Interpreter(Values):
    """A PowerShell for one machine. `modern` means PowerShell 7 (pwsh), otherwise it is Windows' own (5.1)."""

    def __init__(self, world: World, *, modern: bool = False, variables: dict[str, object] | None = None) -> None:
        self._world = world
        self._modern = modern
        super().__init__(variables)
        self._commands: dict[str, Callable[[Parameters, list[object]], Sequence[object]]] = {
            "get-ciminstance": self._get_instances,
            "get-wmiobject": self._get_instances,
            "invoke-cimmethod": self._invoke,
            "invoke-wmimethod": self._invoke,
            "where-object": self._where,
            "select-object": self._select,
            "foreach-object": self._for_each,
            "sort-object": self._sort,
            "measure-object": lambda given, items: [{"Count": len(items)}],
            "format-list": lambda given, items: printing.as_list(items, _names(given)),
            "format-table": lambda given, items: printing.as_table(items, _names(given), headed=not _hidden(given)),
            "convertto-json": lambda given, items: printing.as_json(
                items, modern=self._modern, packed=given.take("compress") is not None
            ),
            "convertto-csv": lambda given, items: printing.as_csv(items),
            "out-string": lambda given, items: ["\n".join(printing.as_lines(items)) + "\n"],
            "out-host": lambda given, items: items,
            "out-null": lambda given, items: [],
            "out-default": lambda given, items: items,
            "write-output": lambda given, items: [value for other in given.others for value in self.spread(other)],
            "write-host": lambda given, items: [" ".join(self.text(other) for other in given.others)],
            "write-warning": lambda given, items: [f"WARNING: {self.text(other)}" for other in given.others],
            "get-date": lambda given, items: [datetime.now().astimezone()],
            "write-error": lambda given, items: self.fail(self.text(given.others)),
            "write-verbose": lambda given, items: [],
            "start-sleep": lambda given, items: [],
            "set-executionpolicy": lambda given, items: [],
            "import-module": lambda given, items: [],
            "get-command": lambda given, items: [],
            "restart-service": lambda given, items: [],
            "select-string": self._select_string,
            "get-itemproperty": self._get_values,
            "get-itempropertyvalue": self._get_value,
            "set-itemproperty": self._set_value,
            "new-itemproperty": self._set_value,
            "remove-itemproperty": self._remove_value,
            "test-path": lambda given, items: [self._has_key(str(given.take("path", "literalpath", at=0)))],
        }

    def run(self, text: str) -> tuple[list[str], int]:
        """Run a script. Returns the lines it prints and its exit status. Raises `PowerShellError`."""
        try:
            lines = printing.as_lines(Reader(text).script()(self))
        except WqlError as error:
            raise PowerShellError(f"Invalid query: {error}") from None
        return lines, int(number(self._variables["lastexitcode"]))

    def command(self, name: str, arguments: Arguments, items: list[object] | None) -> list[object]:
        """Run a command on its pipeline input."""
        known = self._commands.get(_ALIASES.get(name.lower(), name.lower()))
        if known is None:
            words = [
                f"-{key}" if key else self.text(value(self)) if value else ""
                for key, value in arguments
                if key not in (">", "2>")
            ]
            ended = self._world.program(name, words)
            if ended is None:
                raise PowerShellError(
                    f"The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable "
                    "program; the lab's shim knows a part of PowerShell only"
                )
            lines, self._variables["lastexitcode"] = ended
            given: list[object] = list(lines)
        else:
            given = list(known(self._parameters(arguments), items or []))
        return [] if (">", None) in arguments else given

    def invoke(self, instance: Instance, method: str, arguments: list[str]) -> None:
        """Call an instance's method."""
        self._world.invoke(instance, method, arguments)

    def _words(self, arguments: Arguments) -> list[str]:
        """Arguments in the form in which a program gets them."""
        words = []
        for name, code in arguments:
            if code is not None:
                words += [self.text(value) for value in self.spread(code(self))]
            elif name not in (">", "2>"):
                words.append(f"-{name}")
        return words

    def _parameters(self, arguments: Arguments) -> Parameters:
        parameters = Parameters()
        waiting: str | None = None
        for name, code in arguments:
            if code is None:
                waiting = name
                parameters.named[name] = True
            elif waiting is not None and waiting not in _SWITCHES:
                parameters.named[waiting] = code(self)
                waiting = None
            else:
                waiting = None
                parameters.others.append(code(self))
        return parameters

    # Commands.

    def _get_instances(self, given: Parameters, items: list[object]) -> list[object]:
        asked = given.take("query")
        if asked is not None:
            names, class_name, test = query(str(asked))
        else:
            class_name = str(given.take("classname", "class", at=0, default=""))
            wanted = given.take("filter")
            test = condition(str(wanted)) if wanted is not None else _any
            names = [str(name) for name in self.spread(given.take("property", at=1))]
        found = [instance for instance in self._world.instances(class_name) if test(instance)]
        if names and names != ["*"]:
            return [_narrowed(instance, names) for instance in found]
        return [*found]

    def _invoke(self, given: Parameters, items: list[object]) -> list[object]:
        method = str(given.take("methodname", "name", at=len(given.others) - 1, default=""))
        targets = items or self.spread(given.take("inputobject", at=0))
        asked = given.take("query")
        if asked is not None:
            _, class_name, test = query(str(asked))
            targets = [instance for instance in self._world.instances(class_name) if test(instance)]
        arguments = given.take("arguments", "argumentlist")
        values = list(arguments.values()) if isinstance(arguments, dict) else self.spread(arguments)
        for target in targets:
            if isinstance(target, Instance):
                self._world.invoke(target, method, [self.text(value) for value in values])
        return [{"ReturnValue": 0} for _ in targets]

    def _each(self, block: Code, item: object) -> list[object]:
        before = self._variables.get("_")
        self._variables["_"] = item
        try:
            return self.spread(block(self))
        finally:
            self._variables["_"] = before

    def _where(self, given: Parameters, items: list[object]) -> list[object]:
        block = given.take("filterscript", at=0)
        if callable(block):
            return [item for item in items if self.truth(self.single(self._each(block, item)))]
        name = str(given.take("property", at=0, default=""))
        operator = next((key for key in given.named if key in _COMPARISONS), None)
        if operator is None:
            return [item for item in items if self.truth(self.member(item, name))]
        wanted = given.named[operator]
        if wanted is True and given.take("value") is not None:
            wanted = given.take("value")
        return [
            item
            for item in items
            if self.compare(
                operator.lstrip("ic") if operator in ("ieq", "ceq") else operator, self.member(item, name), wanted
            )
        ]

    def _select(self, given: Parameters, items: list[object]) -> list[object]:
        first, last = given.take("first"), given.take("last")
        if first is not None:
            items = items[: int(number(first))]
        if last is not None:
            items = items[-int(number(last)) :]
        expanded = given.take("expandproperty")
        if expanded is not None:
            return [value for item in items for value in self.spread(self.member(item, str(expanded)))]
        names = self.spread(given.take("property", at=0))
        if not names or names == ["*"]:
            return items
        return [dict(self._selected(item, name) for name in names) for item in items]

    def _selected(self, item: object, name: object) -> tuple[str, object]:
        """A selected property, or one calculated by a table with a name and an expression."""
        if not isinstance(name, dict):
            return _written(item, str(name)), self.member(item, str(name))
        parts = {key[:1].lower(): value for key, value in name.items()}
        label, expression = parts.get("n", parts.get("l")), parts.get("e")
        value = (
            self.single(self._each(expression, item)) if callable(expression) else self.member(item, str(expression))
        )
        return self.text(label), value

    def _for_each(self, given: Parameters, items: list[object]) -> list[object]:
        block = given.take("process", at=0)
        if callable(block):
            return [value for item in items for value in self._each(block, item)]
        return [value for item in items for value in self.spread(self.member(item, str(block)))]

    def _sort(self, given: Parameters, items: list[object]) -> list[object]:
        names = [str(name) for name in self.spread(given.take("property", at=0))]

        def key(item: object) -> tuple[str, ...]:
            values = [self.member(item, name) for name in names] or [item]
            return tuple(f"{value:020}" if isinstance(value, int) else self.text(value).lower() for value in values)

        return sorted(items, key=key, reverse=given.take("descending") is not None)

    def _get_values(self, given: Parameters, items: list[object]) -> list[object]:
        return [self._values_of_key(given)]

    def _values_of_key(self, given: Parameters) -> dict[str, str | int]:
        values = self._world.registry(str(given.take("path", "literalpath", at=0)))
        names = [str(name).lower() for name in self.spread(given.take("name", at=1))]
        return {name: value for name, value in values.items() if not names or name.lower() in names}

    def _get_value(self, given: Parameters, items: list[object]) -> list[object]:
        return [*self._values_of_key(given).values()]

    def _set_value(self, given: Parameters, items: list[object]) -> list[object]:
        key, name = (str(given.take(*names, at=at)) for at, names in enumerate((("path", "literalpath"), ("name",))))
        self._world.set_registry(key, name, self.text(given.take("value", at=2)))
        return []

    def _remove_value(self, given: Parameters, items: list[object]) -> list[object]:
        self._world.set_registry(str(given.take("path", "literalpath", at=0)), str(given.take("name", at=1)), None)
        return []

    def _has_key(self, key: str) -> bool:
        try:
            self._world.registry(key)
        except PowerShellError:
            return False
        return True

    def _select_string(self, given: Parameters, items: list[object]) -> list[object]:
        patterns = [str(one) for one in self.spread(given.take("pattern", at=0))]
        plain = given.take("simplematch") is not None
        tests = [re.compile(re.escape(one) if plain else one, re.IGNORECASE) for one in patterns]
        return [
            Matched(line, found)
            for item in items
            for line in self.text(item).split("\n")
            if (found := next((found for test in tests if (found := test.search(line))), None)) is not None
        ]


def _any(instance: Instance) -> bool:
    return True


_ALIASES = {
    "gcim": "get-ciminstance",
    "gwmi": "get-wmiobject",
    "icim": "invoke-cimmethod",
    "?": "where-object",
    "where": "where-object",
    "select": "select-object",
    "%": "foreach-object",
    "foreach": "foreach-object",
    "sort": "sort-object",
    "measure": "measure-object",
    "fl": "format-list",
    "ft": "format-table",
    "echo": "write-output",
    "write": "write-output",
    "oh": "out-host",
    "sls": "select-string",
    "sleep": "start-sleep",
}
_COMPARISONS = ("eq", "ieq", "ceq", "ne", "like", "notlike", "match", "notmatch", "gt", "lt", "ge", "le", "in", "notin")
_SWITCHES = (
    "compress",
    "autosize",
    "wrap",
    "hidetableheaders",
    "descending",
    "unique",
    "notypeinformation",
    "simplematch",
    "quiet",
    "computername_",
    "verbose",
    "force",
    "asarray",
    "nti",
)


def _names(given: Parameters) -> list[str]:
    wanted = given.take("property", at=0)
    names = [] if wanted is None else wanted if isinstance(wanted, list) else [wanted]
    return [] if names == ["*"] else [str(name) for name in names]


def _hidden(given: Parameters) -> bool:
    return given.take("hidetableheaders") is not None


def _narrowed(instance: Instance, names: Iterable[str]) -> Instance:
    kept = {_written(instance, name): instance.get(name) for name in names if instance.has(name)}
    return Instance(instance.class_name, kept, instance.licence)


def _written(item: object, name: str) -> str:
    """A property's name in its class's spelling."""
    keys = item.properties if isinstance(item, Instance) else item if isinstance(item, dict) else ()
    return next((key for key in keys if key.lower() == name.lower()), name)
