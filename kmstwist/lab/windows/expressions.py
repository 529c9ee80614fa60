"""Reading PowerShell's expressions: values, properties, comparisons, strings with variables in them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from kmstwist.lab.windows.shell import Code, Pipeline, PowerShellError

SPACE = re.compile(r"(?:[ \t\r]|`\r?\n|<#.*?#>|#[^\n]*)+", re.DOTALL)
LINES = re.compile(r"(?:[ \t\r\n;]|`\r?\n|<#.*?#>|#[^\n]*)+", re.DOTALL)
NAME = re.compile(r"\$\{([^}]+)\}|\$((?:env|global|script|local):\w+|[A-Za-z_]\w*|[_?])", re.IGNORECASE)
_MEMBER = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"0x[0-9A-Fa-f]+|\d+(?:\.\d+)?")
OPERATOR = re.compile(
    r"-(?:i|c)?(eq|ne|like|notlike|match|notmatch|gt|lt|ge|le|in|notin|contains|notcontains|join|split|replace|f)\b",
    re.IGNORECASE,
)
LOGICAL = re.compile(r"-(and|or)\b", re.IGNORECASE)
_SUM = re.compile(r"(\+|-)(?=[\s\d$('\"])")
_PRODUCT = re.compile(r"([*/%])(?=[\s\d$(])")
_STATIC = re.compile(r"\[(?:system\.)?math\]::(round|floor|ceiling|truncate|max|min|abs)\(", re.IGNORECASE)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


class Expressions(ABC):
    """Reads expressions; the pipelines in them are read by a `Reader`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        # A comma makes a list, but between a method's arguments it ends one.
        self._lists = True

    def _bad(self, why: str) -> PowerShellError:
        line = self._text.count("\n", 0, self._at) + 1
        rest = self._text[self._at : self._at + 40].split("\n")[0]
        return PowerShellError(f"line {line}: {why}: {rest!r}. The lab's shim knows a part of PowerShell only")

    def _skip(self, pattern: re.Pattern[str] = SPACE) -> None:
        if found := pattern.match(self._text, self._at):
            self._at = found.end()

    def _sees(self, text: str) -> bool:
        return self._text[self._at : self._at + len(text)].lower() == text.lower()

    def _take(self, text: str) -> bool:
        self._skip()
        if self._sees(text):
            self._at += len(text)
            return True
        return False

    def _keyword(self, word: str) -> bool:
        found = re.compile(rf"{word}\b", re.IGNORECASE).match(self._text, self._at)
        if found:
            self._at = found.end()
        return found is not None

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._bad(f"a {text!r} is missing here")

    def _expression(self) -> Code:
        """An expression; comparisons bind tighter than -and and -or."""
        left = self._comparison()
        while (operator := self._operator(LOGICAL)) is not None:
            left = _binary(left, operator, self._comparison())
        return left

    def _comparison(self) -> Code:
        left = self._sum()
        while (operator := self._operator(OPERATOR)) is not None:
            left = _binary(left, operator, self._sum())
        return left

    def _sum(self) -> Code:
        left = self._product()
        while (operator := self._operator(_SUM)) is not None:
            left = _binary(left, operator, self._product())
        return left

    def _product(self) -> Code:
        left = self._items()
        while (operator := self._operator(_PRODUCT)) is not None:
            left = _binary(left, operator, self._items())
        return left

    def _operator(self, kind: re.Pattern[str]) -> str | None:
        self._skip()
        found = kind.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        self._skip(LINES)
        return found[1].lower()

    def _items(self) -> Code:
        codes = [self._unary()]
        while self._lists and self._take(","):
            codes.append(self._unary())
        return codes[0] if len(codes) == 1 else lambda shell: [code(shell) for code in codes]

    def _unary(self) -> Code:
        self._skip()
        if self._take("!") or self._keyword("-not"):
            inner = self._unary()
            return lambda shell: not shell.truth(inner(shell))
        if found := _STATIC.match(self._text, self._at):
            self._at = found.end() - 1
            return self._members(self._method(lambda shell: None, f"math.{found[1].lower()}"))
        if self._sees("["):
            end = self._text.find("]", self._at)
            kind = self._text[self._at + 1 : end].lower()
            if end < 0 or not re.fullmatch(r"[\w.]+(\[\])?", kind):
                raise self._bad("this type is not understood")
            self._at = end + 1
            cast = self._unary()
            return lambda shell: shell.cast(kind, cast(shell))
        return self._primary()

    def _primary(self) -> Code:
        self._skip()
        character = self._text[self._at : self._at + 1]
        value: Code
        if character == "'":
            found = re.compile(r"'((?:[^']|'')*)'").match(self._text, self._at)
            if found is None:
                raise self._bad("this string has no end")
            self._at = found.end()
            text = found[1].replace("''", "'")
            value = lambda shell: text  # noqa: E731
        elif character == '"':
            value = self._string()
        elif self._sees("@{"):
            value = self._table()
        elif self._sees("@(") or self._sees("$("):
            self._at += 2
            value = self._inside(")")
        elif character == "(":
            self._at += 1
            outside, self._lists = self._lists, True
            piped = self._pipeline()
            self._need(")")
            self._lists = outside
            value = lambda shell: shell.single(piped(shell))  # noqa: E731
        elif found := NAME.match(self._text, self._at):
            self._at = found.end()
            name = found[1] or found[2]
            value = lambda shell: shell.variable(name)  # noqa: E731
        elif found := _NUMBER.match(self._text, self._at):
            self._at = found.end()
            number: int | float = float(found[0]) if "." in found[0] else int(found[0], 0)
            value = lambda shell: number  # noqa: E731
        else:
            raise self._bad("this is not understood")
        return self._members(value)

    def _inside(self, end: str) -> Code:
        """Statements in brackets, where a comma makes a list again."""
        outside, self._lists = self._lists, True
        body = self._statements(end)
        self._need(end)
        self._lists = outside
        return body

    def _table(self) -> Code:
        """A hashtable: names with values, on lines or between semicolons."""
        self._at += 2
        entries: list[tuple[str, Pipeline]] = []
        while True:
            self._skip(LINES)
            if self._take("}"):
                return lambda shell: {name: shell.single(code(shell)) for name, code in entries}
            found = re.compile(r"'([^']*)'|\"([^\"]*)\"|([\w.]+)").match(self._text, self._at)
            if found is None:
                raise self._bad("a name is missing here")
            self._at = found.end()
            self._need("=")
            self._skip()
            if self._sees("{"):
                entries.append((next(part for part in found.groups() if part is not None), self._held_block()))
            else:
                entries.append((next(part for part in found.groups() if part is not None), self._pipeline()))

    def _held_block(self) -> Pipeline:
        """A script block as a value."""
        self._at += 1
        body = self._statements("}")
        self._need("}")
        return lambda shell: [body]

    def _members(self, value: Code) -> Code:
        while True:
            if self._sees(".") and (found := _MEMBER.match(self._text, self._at + 1)):
                self._at = found.end()
                if self._sees("("):
                    value = self._method(value, found[0])
                else:
                    value = _member(value, found[0])
            elif self._sees("["):
                self._at += 1
                index = self._expression()
                self._need("]")
                value = _indexed(value, index)
            else:
                return value

    def _method(self, value: Code, name: str) -> Code:
        self._at += 1
        arguments: list[Code] = []
        outside, self._lists = self._lists, False
        while not self._take(")"):
            arguments.append(self._expression())
            self._take(",")
        self._lists = outside
        return lambda shell: shell.method(value(shell), name, [argument(shell) for argument in arguments])

    def _string(self) -> Code:
        self._at += 1
        parts: list[str | Code] = []
        while True:
            character = self._text[self._at : self._at + 1]
            if not character:
                raise self._bad("this string has no end")
            if character == '"':
                self._at += 1
                if not self._sees('"'):
                    break
                self._at += 1
                parts.append('"')
            elif character == "`":
                parts.append(_ESCAPES.get(self._text[self._at + 1], self._text[self._at + 1]))
                self._at += 2
            elif self._sees("$("):
                self._at += 2
                body = self._statements(")")
                self._need(")")
                parts.append(body)
            elif found := NAME.match(self._text, self._at):
                self._at = found.end()
                parts.append(_variable(found[1] or found[2]))
            else:
                parts.append(character)
                self._at += 1
        return lambda shell: "".join(part if isinstance(part, str) else shell.text(part(shell)) for part in parts)

    @abstractmethod
    def _pipeline(self) -> Pipeline:
        """A pipeline, which gives a list: an expression or a command, and the commands that it is piped through."""

    @abstractmethod
    def _statements(self, end: str) -> Pipeline:
        """Statements up to a text that ends them."""


def _variable(name: str) -> Code:
    return lambda shell: shell.variable(name)


def _member(value: Code, name: str) -> Code:
    return lambda shell: shell.member(value(shell), name)


def _indexed(value: Code, index: Code) -> Code:
    return lambda shell: shell.indexed(value(shell), index(shell))


def _binary(left: Code, operator: str, right: Code) -> Code:
    if operator == "and":
        return lambda shell: shell.truth(left(shell)) and shell.truth(right(shell))
    if operator == "or":
        return lambda shell: shell.truth(left(shell)) or shell.truth(right(shell))
    return lambda shell: shell.compare(operator, left(shell), right(shell))
