"""The errors of the lab's files and messages, apart from the code that opens them."""

from __future__ import annotations

from kmstwist.kms.messages import MessageError
from kmstwist.problem import ProblemError


class LabFileError(ProblemError):
    """A file of the lab cannot be opened, read or written."""


class NotOurs(MessageError):
    """A well-formed message not protected by this lab's keys: a genuine client's, another lab's, or an altered one."""
