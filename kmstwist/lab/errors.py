"""What goes wrong with the lab's files, apart from what opens them."""

from __future__ import annotations

from kmstwist.problem import ProblemError


class LabFileError(ProblemError):
    """A file of the lab's cannot be opened, read or written."""
