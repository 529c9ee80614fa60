"""Passing a control command on to every worker, and merging their answers.

The last change holds: each worker gets the commands that change something one after the other, in the order in which
they came. A worker that is still starting gets them when it answers; whoever gave the command has been told so by then.
A process that takes a worker's place is given the last command of each kind again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from kmstwist.process.control_client import CommandError, NoAnswer, NobodyThere, ask
from kmstwist.process.workers.hang_detection import ANSWERS_WITHIN
from kmstwist.process.workers.switch_commands import Switched
from kmstwist.reactor import InThread
from kmstwist.system.threads import MORE_THREADS

#: For how many seconds a starting worker is still given a command, and how many pass between the attempts.
_STARTS_WITHIN = 60.0
_LOOK_AGAIN = 0.2
#: Commands that only ask: the answers of some workers are useful without those of the others.
_QUESTIONS = frozenset({"status", "upstreams"})


class Told(Protocol):
    """A worker, as far as this module needs it."""

    number: int
    pid: int | None


ToldT = TypeVar("ToldT", bound=Told)


class _Line:
    """The queue of commands for one worker."""

    def __init__(self) -> None:
        #: Held by the command that the worker is given at present; later ones wait.
        self.turn = DeferredLock()
        #: Whether nobody answered there at the last attempt.
        self.absent = False
        #: Whether what was switched is about to be given to it again.
        self.again = False


class PassingOn(Generic[ToldT]):
    """Gives commands to workers; an answer takes at most `ANSWERS_WITHIN` seconds."""

    def __init__(
        self,
        workers: Sequence[ToldT],
        path: Callable[[ToldT], Path],
        answered: Callable[[int, int | None, dict[str, Any]], dict[str, Any]],
        goes_on: Callable[[], bool],
        reactor: IReactorTime,
        in_thread: InThread = deferToThread,
    ) -> None:
        """`path` returns a worker's control socket. `answered` gets its number, its process id and its answer, and
        returns the answer to pass on. `goes_on` says whether workers that end are still replaced."""
        self._workers = workers
        self._path = path
        self._answered = answered
        self._goes_on = goes_on
        self._reactor = reactor
        self._in_thread = in_thread
        self._lines = {worker.number: _Line() for worker in workers}
        self._switched = Switched(reactor)

    def pass_on(self, request: Mapping[str, object]) -> Deferred[dict[str, Any]]:
        """All workers' answers as one. Fails with `CommandError` if a worker did not obey, or none answered."""
        self._switched.note(request)
        asked = [self._ask(worker, request) for worker in self._workers]

        def together(results: list[tuple[bool, Any]]) -> dict[str, Any]:
            failed = [result for good, result in results if not good]
            answers = [answer for good, answer in results if good]
            if failed:
                failed[0].trap(CommandError)
                if not _only_asks(request) or not answers:
                    raise CommandError(failed[0].getErrorMessage())
            answer: dict[str, Any] = merged(answers)
            if failed:
                answer["silent"] = failed[0].getErrorMessage()
            return answer

        return DeferredList(asked, consumeErrors=True).addCallback(together)

    def started(self, worker: ToldT) -> None:
        """A process has taken this worker's place: when it answers, give it what was switched, after what waits."""
        line = self._lines[worker.number]
        if not line.again and self._switched.again():
            line.again = True
            line.turn.run(lambda: Deferred.fromCoroutine(self._tell_again(worker)))

    async def _tell_again(self, worker: ToldT) -> None:
        self._lines[worker.number].again = False
        for request in self._switched.again():
            # A worker that cannot be told is followed by another, which is told in its turn.
            with suppress(CommandError):
                await self._told(worker, request, _STARTS_WITHIN)

    def _ask(self, worker: ToldT, request: Mapping[str, object]) -> Deferred[dict[str, Any]]:
        """A worker's answer, or a failure in time. A change that could not be passed on in time is passed on later."""
        line = self._lines[worker.number]
        if _only_asks(request):
            told = self._tell(worker, request, ANSWERS_WITHIN)
        else:
            told = line.turn.run(self._tell, worker, request, _STARTS_WITHIN)
        answer: Deferred[dict[str, Any]] = Deferred()

        def late() -> None:
            answer.errback(_absent(worker, request) if line.absent else _silent(worker))

        give_up = self._reactor.callLater(ANSWERS_WITHIN, late)

        def done(result: dict[str, Any] | Failure) -> None:
            if give_up.active():
                give_up.cancel()
                answer.callback(result)

        told.addCallback(done)
        # What goes wrong after that is in the worker's log.
        told.addErrback(lambda failure: done(failure) if give_up.active() else failure.trap(CommandError))
        return answer

    def _tell(self, worker: ToldT, request: Mapping[str, object], within: float) -> Deferred[dict[str, Any]]:
        return Deferred.fromCoroutine(self._told(worker, request, within))

    async def _told(self, worker: ToldT, request: Mapping[str, object], within: float) -> dict[str, Any]:
        """The answer; a starting worker's if it comes soon enough. Raises `CommandError`."""
        line = self._lines[worker.number]
        give_up = self._reactor.seconds() + within
        while True:
            pid = worker.pid
            try:
                answer = await self._in_thread(ask, self._path(worker), dict(request), ANSWERS_WITHIN)
                line.absent = False
                return self._answered(worker.number, pid, answer)
            except RuntimeError as error:
                raise CommandError(f"{error}: the supervisor cannot ask worker {worker.number}", MORE_THREADS) from None
            except NoAnswer:
                line.absent = False
                if not _only_asks(request) and self._goes_on():
                    # It may hear this one after the next.
                    self._reactor.callLater(ANSWERS_WITHIN, self.started, worker)
                raise _silent(worker) from None
            except NobodyThere:
                line.absent = True
                if not self._goes_on() or self._reactor.seconds() + _LOOK_AGAIN > give_up:
                    raise _absent(worker, request) from None
            except CommandError:
                self._switched.refused(request)
                raise
            await deferLater(self._reactor, _LOOK_AGAIN)


def _only_asks(request: Mapping[str, object]) -> bool:
    return request.get("command") in _QUESTIONS


def _absent(worker: Told, request: Mapping[str, object]) -> CommandError:
    # A worker that ends before it is told is replaced by one that begins with what is in force.
    later = "" if _only_asks(request) else "; the others have done it, and this one will when it has started"
    return CommandError(f"worker {worker.number} does not answer yet{later}", "the log says why")


def _silent(worker: Told) -> CommandError:
    return CommandError(
        f"worker {worker.number} gave no answer within {ANSWERS_WITHIN:g} s; it is replaced if it hangs"
    )


def merged(answers: Sequence[Any]) -> Any:
    """Several workers' answers as one.

    Numbers are summed, lists of upstreams are put together by name, lists of texts have each text once, and texts that
    differ stand side by side.
    """
    first = answers[0]
    if isinstance(first, dict):
        same = {"priority", "weight"}
        return {key: first[key] if key in same else merged([answer[key] for answer in answers]) for key in first}
    if isinstance(first, list):
        if all(isinstance(item, str) for answer in answers for item in answer):
            return list(dict.fromkeys(item for answer in answers for item in answer))
        names = [item["name"] for item in first]
        return [merged([item for answer in answers for item in answer if item["name"] == name]) for name in names]
    if isinstance(first, bool):
        return any(answers)
    if isinstance(first, int):
        return sum(answers)
    return "/".join(sorted({str(answer) for answer in answers}))
