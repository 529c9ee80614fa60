"""Reading PowerShell's statements: assignments, `if`, `switch`, `foreach`, `try`, `return` and `exit`."""

from __future__ import annotations

import re

from kmstwist.lab.windows.expressions import LINES, NAME, Expressions
from kmstwist.lab.windows.shell import Code, Pipeline, PowerShellError, Shell

_ASSIGNED = re.compile(r"\s*(\+?)=(?!=)\s*")
_ENDS = ("", "\n", ";", "}")


class Statements(Expressions):
    """Reads statements; their pipelines are read by a `Reader`."""

    def _statements(self, end: str) -> Pipeline:
        codes: list[Pipeline] = []
        while True:
            self._skip(LINES)
            if self._at >= len(self._text) or (end and self._sees(end)):
                break
            begun = self._at
            codes.append(self._statement())
            self._skip()
            ends_itself = self._text[begun : self._at].rstrip().endswith("}")
            if self._at < len(self._text) and self._text[self._at] not in "\n;}" + end and not ends_itself:
                raise self._bad("this is not understood")

        def run(shell: Shell) -> list[object]:
            given: list[object] = []
            for code in codes:
                if shell.stopped:
                    break
                given += code(shell)
            return given

        return run

    def _block(self) -> Pipeline:
        self._skip(LINES)
        self._need("{")
        body = self._statements("}")
        self._need("}")
        return body

    def _statement(self) -> Pipeline:
        if self._keyword("exit") or self._keyword("return"):
            is_exit = self._text[self._at - 4 : self._at].lower() == "exit"
            self._skip()
            code = self._pipeline() if self._text[self._at : self._at + 1] not in _ENDS else None
            return lambda shell: shell.leave(code(shell) if code else [], ends=is_exit)
        if self._keyword("throw"):
            self._skip()
            thrown = self._expression()
            return lambda shell: shell.fail(thrown(shell))
        if self._keyword(r"param(?=\s*\()"):
            self._skip_brackets()
            return lambda shell: []
        found = NAME.match(self._text, self._at)
        if found and (after := _ASSIGNED.match(self._text, found.end())):
            self._at = after.end()
            value = self._pipeline()
            name = found[1] or found[2]
            if after[1]:
                return lambda shell: shell.assign(
                    name, [shell.compare("+", shell.variable(name), shell.single(value(shell)))]
                )
            return lambda shell: shell.assign(name, value(shell))
        return self._pipeline()

    def _skip_brackets(self) -> None:
        depth = 0
        while self._at < len(self._text):
            depth += {"(": 1, ")": -1}.get(self._text[self._at], 0)
            self._at += 1
            if depth == 0 and self._text[self._at - 1] == ")":
                return
        raise self._bad("a bracket is not closed")

    def _control(self) -> Pipeline | None:
        """A statement with the values of its blocks, also after an equals sign; None for anything else."""
        if self._keyword("if"):
            return self._if()
        if self._keyword(r"foreach(?=\s*\()"):
            return self._foreach()
        if self._keyword(r"switch(?=\s*\()"):
            return self._switch()
        if self._keyword(r"try(?=\s*\{)"):
            return self._try()
        return None

    def _if(self) -> Pipeline:
        self._need("(")
        test = self._pipeline()
        self._need(")")
        body = self._block()
        mark = self._at
        self._skip(LINES)
        other: Pipeline = lambda shell: []  # noqa: E731
        if self._keyword("elseif"):
            other = self._if()
        elif self._keyword("else"):
            other = self._block()
        else:
            self._at = mark
        return lambda shell: body(shell) if shell.truth(shell.single(test(shell))) else other(shell)

    def _foreach(self) -> Pipeline:
        self._need("(")
        self._skip()
        found = NAME.match(self._text, self._at)
        if found is None:
            raise self._bad("foreach needs a variable")
        self._at = found.end()
        self._skip()
        if not self._keyword("in"):
            raise self._bad("an 'in' is missing here")
        items = self._pipeline()
        self._need(")")
        body = self._block()
        name = found[1] or found[2]

        def run(shell: Shell) -> list[object]:
            given: list[object] = []
            for item in items(shell):
                if not shell.stopped:
                    shell.assign(name, [item])
                    given += body(shell)
            return given

        return run

    def _switch(self) -> Pipeline:
        self._need("(")
        subject = self._pipeline()
        self._need(")")
        self._skip(LINES)
        self._need("{")
        cases: list[tuple[Code | None, Pipeline]] = []
        while True:
            self._skip(LINES)
            if self._take("}"):
                break
            wanted = None if self._keyword("default") else self._case()
            cases.append((wanted, self._block()))

        def run(shell: Shell) -> list[object]:
            given: list[object] = []
            for item in subject(shell):
                fitting = [
                    body for wanted, body in cases if wanted and shell.truth(shell.compare("eq", item, wanted(shell)))
                ]
                for body in fitting or [body for wanted, body in cases if wanted is None]:
                    given += body(shell)
            return given

        return run

    def _case(self) -> Code:
        if self._text[self._at].isalpha():
            found = re.compile(r"[\w.-]+").match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            word = found[0]
            return lambda shell: word
        return self._expression()

    def _try(self) -> Pipeline:
        body = self._block()
        caught: Pipeline | None = None
        at_last: Pipeline | None = None
        while True:
            mark = self._at
            self._skip(LINES)
            if self._keyword("catch"):
                self._skip()
                if self._sees("["):
                    self._at = self._text.find("]", self._at) + 1
                caught = self._block()
            elif self._keyword("finally"):
                at_last = self._block()
            else:
                self._at = mark
                break

        def run(shell: Shell) -> list[object]:
            try:
                given: list[object] = body(shell)
            except (PowerShellError, ValueError) as error:
                if caught is None:
                    raise
                shell.assign("_", [str(error)])
                given = caught(shell)
            finally:
                last: list[object] = at_last(shell) if at_last else []
            return given + last

        return run
