"""The types of what the tests use of pytest-twisted, which ships none."""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, ParamSpec

from twisted.internet.defer import Deferred

_P = ParamSpec("_P")

def ensureDeferred(f: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, Coroutine[Any, Any, None]]: ...
def inlineCallbacks(f: Callable[_P, Generator[Deferred[Any], Any]]) -> Callable[_P, Deferred[None]]: ...
def blockon(d: Deferred[Any]) -> Any: ...
