"""The part of PowerShell's language that scripts need to query a machine's licences.

Pipelines, variables, properties, comparisons, strings with variables in them, the usual statements and calls of
programs become functions of a `Shell`. Anything else is refused with its place, never guessed.
"""

from __future__ import annotations

import re

from kmstwist.lab.windows.expressions import LINES, OPERATOR, SPACE
from kmstwist.lab.windows.shell import Code, Pipeline
from kmstwist.lab.windows.statements import Statements

_WORD = re.compile(r"[^\s|;(){}'\",]+")


class Reader(Statements):
    """Reads a script from its first character to its last."""

    def script(self) -> Pipeline:
        """The whole script; raises `PowerShellError`."""
        code = self._statements("")
        if self._at < len(self._text):
            raise self._bad("this is not understood")
        return code

    def _pipeline(self) -> Pipeline:
        """A pipeline, which gives a list: an expression or a command, and the commands that it is piped through."""
        self._skip()
        first = self._control()
        if first is None:
            first = self._command([]) if self._begins_command() else self._listed(self._expression())
        while True:
            mark = self._at
            self._skip(LINES if re.compile(r"\s*\|").match(self._text, self._at) else SPACE)
            if not self._sees("|") or self._sees("||"):
                self._at = mark
                return first
            self._at += 1
            self._skip(LINES)
            first = self._command([first])

    def _listed(self, code: Code) -> Pipeline:
        return lambda shell: shell.spread(code(shell))

    def _begins_command(self) -> bool:
        character = self._text[self._at : self._at + 1]
        return (
            character == "&" or (character.isalpha() and not OPERATOR.match(self._text, self._at)) or character in "?%"
        )

    def _command(self, before: list[Pipeline]) -> Pipeline:
        self._take("&")
        self._skip()
        if self._text[self._at : self._at + 1] in ("'", '"', "$"):
            name = self._primary()
        else:
            word = self._word()
            name = lambda shell: word  # noqa: E731
        arguments: list[tuple[str, Code | None]] = []
        while True:
            self._skip()
            if self._at >= len(self._text) or self._text[self._at] in "|;)}\n":
                break
            redirected = re.compile(r"[12*]?>(?:&1|\s*(?:\$null|nul))", re.IGNORECASE).match(self._text, self._at)
            if redirected:
                self._at = redirected.end()
                arguments.append((">", None) if not redirected[0].startswith("2") else ("2>", None))
                continue
            arguments.append(self._argument())
        source = before[0] if before else None
        return lambda shell: shell.command(str(name(shell)), arguments, source(shell) if source else None)

    def _argument(self) -> tuple[str, Code | None]:
        """A parameter's name ("" for none) and a value; a name alone is a switch, whose value may follow."""
        found = re.compile(r"-([A-Za-z]\w*):?(?=[\s;|)}\n]|$|\()").match(self._text, self._at)
        if found:
            self._at = found.end()
            return found[1].lower(), None
        return "", self._values()

    def _values(self) -> Code:
        codes = [self._value()]
        while self._take(","):
            self._skip(LINES)
            codes.append(self._value())
        if len(codes) == 1:
            return codes[0]
        return lambda shell: [value for code in codes for value in shell.spread(code(shell))]

    def _value(self) -> Code:
        self._skip()
        character = self._text[self._at : self._at + 1]
        if character == "{":
            body = self._block()
            return lambda shell: body
        if character in ("'", '"', "$", "(", "@"):
            return self._primary()
        word = self._word()
        return lambda shell: int(word) if word.isdigit() else word

    def _word(self) -> str:
        found = _WORD.match(self._text, self._at)
        if found is None:
            raise self._bad("this is not understood")
        self._at = found.end()
        return found[0]
