"""How a command on a lab machine fails: with a code that Windows publishes, or with a sentence of ours."""

from __future__ import annotations

from kmstwist.kms.status import explain

TOO_MANY_REARMS = 0xC004D307
"""The published code for a rearm when none is left."""


class Refused(Exception):
    """A command cannot be carried out; the text is a sentence with the cure."""


class Published(Refused):
    """A command fails as it does on Windows, with a published `code`; `more` is what the lab adds in a sentence.

    `has_own_cure` says that `more` holds the cure for this case, which goes before the code's general one.
    """

    def __init__(self, code: int, more: str = "", *, has_own_cure: bool = False) -> None:
        self.code = int(code)
        self.has_own_cure = has_own_cure
        explanation = explain(self.code)
        self.description = explanation.text if explanation else ""
        self.cure = explanation.cure if explanation else ""
        self.more = more
        super().__init__(f"0x{self.code:08X} {self.description}".rstrip())
