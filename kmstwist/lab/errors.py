"""The errors of the lab's files, apart from the code that opens them."""

from __future__ import annotations

from kmstwist.problem import ProblemError


class LabFileError(ProblemError):
    """A file of the lab cannot be opened, read or written."""
