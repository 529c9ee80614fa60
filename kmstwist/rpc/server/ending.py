"""How an association ends whose client has nothing more to send: its machine's actions for a half-closed connection.

A client may end its side of the connection and still read (RFC 9293 3.6): it gets the answers to what it has asked.
"""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc.server.core import Finished, ServerCore


def finish(association: ServerCore) -> None:
    """Drop what was half received; when the calls under way are answered, the association is over."""
    association.forget_incoming()
    if not association.calls:
        association.step(Finished)


def end_finished(association: ServerCore) -> None:
    """Nothing is under way for a client that has nothing more to send."""
    association.end(Reason.CLIENT_CLOSED, "")
