"""The end of an association whose client has nothing more to send: the machine's actions for a half-closed connection.

A client may end its side of the connection and still read (RFC 9293 3.6): it gets the answers to its calls.
"""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc.server.core import ServerCore
from kmstwist.rpc.server.inputs import Finished


def finish(association: ServerCore) -> None:
    """Drop an incomplete request; when the calls under way are answered, the association is over."""
    association.forget_incoming()
    if not association.calls:
        association.step(Finished)


def end_finished(association: ServerCore) -> None:
    """End the association: the client has nothing more to send, and no call is under way."""
    association.end(Reason.CLIENT_CLOSED, "")
