"""Where two servers may differ: each free difference between kmstwist and Samba, with its reason.

Some are never met, because conversations are not made that way (`conversations`):

- calls with the MAYBE flag: kmstwist never answers them, as C706 12.6.3.1 requires; Samba does;
- data representations other than ASCII and IEEE: nothing here has characters or floats (C706 14.1); Samba faults them;
- RPC version 5.1: kmstwist serves it (C706 12.6.3.1: a receiver takes minor versions up to its own, [MS-RPCE] 2.2.2.1
  has 0 and 1), Samba refuses it;
- NDR64, and two interfaces in one PDU: kmstwist accepts each context by itself (C706 12.6.4.4), Samba one a PDU and
  NDR32 alone;
- authentication types that Samba speaks: kmstwist speaks none;
- padding between a context list and its verifier: Windows and Samba ignore it or not, by their version;
- arguments of the management interface's operations, and inq_princ_name, which Samba does not have.

The others are the rules below. A rule is told the first PDU after which the answers differ, if it is known, and what
each server answered there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tests.differential.conversations import Conversation
from tests.differential.exchange import Answers

_SERVERS_PDUS: Final = ("Auth3", "Shutdown", "Response", "Fault", "BindAck", "BindNak", "OtherPdu")
_PROTOCOL_ERROR: Final = "context 0 status 0x1c01000b"


class Difference(NamedTuple):
    """Where the answers begin to differ: the PDUs that may be the cause, and the rest of each side's answers."""

    conversation: Conversation
    blamed: tuple[str, ...]
    bound: bool
    ours: tuple[str, ...]
    theirs: tuple[str, ...]

    def blames(self, *words: str) -> bool:
        """Whether one of these words describes a PDU that may be the cause."""
        return any(word in said for word in words for said in self.blamed)


def first_is_no_bind(difference: Difference) -> bool:
    """The first PDU is not a bind. Samba takes any for one and refuses it as such; [MS-RPCE] 3.3.3 has a fault."""
    refused = len(difference.theirs) == 2 and "reason 4" in difference.theirs[0]
    ours = difference.ours[-1:] == ("closed",) and len(difference.ours) <= 2
    is_bind = difference.conversation.said[0].startswith(("bind", "Bind of"))
    return not difference.bound and refused and ours and not is_bind


def other_versions(difference: Difference) -> bool:
    """Another version of RPC after the bind: kmstwist ends the connection; Samba looks at some PDUs' version only.

    C706 12.6.3.1: a receiver need not understand another major or a later minor version.
    """
    return difference.bound and difference.blames("false version", "false minor") and difference.ours == ("closed",)


def what_no_client_sends(difference: Difference) -> bool:
    """A server's PDU or rpc_auth_3: C706 knows no answer to it; Samba says why before it closes.

    [MS-RPCE] 2.2.2.10: rpc_auth_3 is never answered.
    """
    theirs = difference.theirs
    explained = len(theirs) == 2 and theirs[0].startswith("fault") and theirs[0].endswith(_PROTOCOL_ERROR)
    blamed = difference.blames(*_SERVERS_PDUS)
    return blamed and difference.ours == ("closed",) and explained and theirs[1] == "closed"


def lengths_that_lie(difference: Difference) -> bool:
    """A length that cannot be, or that makes noise of what follows it. kmstwist judges every header at once and closes.

    C706 has no answer to it. Samba closes without one, or waits for a fragment that would be too long to be taken.
    """
    return difference.blames("false length") and difference.ours[-1] == "closed" and len(difference.ours) <= 2


def bodies_that_end_early(difference: Difference) -> bool:
    """A body shorter than its fields: kmstwist refuses it as what it claims to be, Samba closes without an answer."""
    ours = difference.ours
    refused = len(ours) == 2 and ours[0].startswith(("bind_nak", "fault")) and ours[1] == "closed"
    return difference.blames("false length", "false auth length") and refused and difference.theirs == ("closed",)


def types_nobody_has(difference: Difference) -> bool:
    """A verifier of an unknown type: [MS-RPCE] 2.2.2.5 has 8 for it; at some levels Samba says it is congested (1)."""
    ours, theirs = difference.ours, difference.theirs
    return "reason 8" in ours[0] and theirs[0] == ours[0].replace("reason 8", "reason 1") and ours[1:] == theirs[1:]


def answers_lost(difference: Difference) -> bool:
    """Samba closes with the client's further bytes unread, which resets the connection and loses what it had answered.

    Where kmstwist refuses a client it waits for it to read the answer. It only happens where PDUs are not stepped.
    """
    return not difference.conversation.stepped and difference.theirs == ("closed",) and difference.ours[-1] == "closed"


RULES: Final[Sequence[Callable[[Difference], bool]]] = (
    first_is_no_bind,
    other_versions,
    what_no_client_sends,
    lengths_that_lie,
    bodies_that_end_early,
    types_nobody_has,
    answers_lost,
)


def difference(conversation: Conversation, ours: Answers, theirs: Answers) -> Difference | None:
    """Where the answers begin to differ, or None if they do not."""
    if ours == theirs:
        return None
    step = 0
    last = min(len(ours.steps), len(theirs.steps)) - 1
    while step < last and ours.steps[step] == theirs.steps[step]:
        step += 1
    left, right = _from(ours, step), _from(theirs, step)
    earlier = [answer for answers in ours.steps[:step] for answer in answers]
    while len(left) > 1 and len(right) > 1 and left[0] == right[0]:
        earlier.append(left[0])
        left, right = left[1:], right[1:]
    # A wrong length shifts all that follows it, so it may be the cause of any later difference.
    lies = [said for said in conversation.said[:step] if "false length" in said]
    blamed = [conversation.said[step]] if conversation.stepped else list(conversation.said)
    bound = any(answer.startswith("bind_ack") for answer in earlier)
    return Difference(conversation, (*lies, *blamed), bound, left, right)


def _from(answers: Answers, step: int) -> tuple[str, ...]:
    """What is answered in this step and, for the last step, how the connection was left."""
    here = answers.steps[step] if step < len(answers.steps) else ()
    return (*here, answers.left) if step >= len(answers.steps) - 1 else here


def judge(conversation: Conversation, ours: Answers, theirs: Answers) -> str | None:
    """Why these answers may differ: the name of a rule, "" if they do not differ, None if no rule allows it."""
    found = difference(conversation, ours, theirs)
    if found is None:
        return ""
    return next((rule.__name__ for rule in RULES if rule(found)), None)
