"""Asking a running server through its control socket without a reactor; `control` describes the messages."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kmstwist.problem import ProblemError

#: The most bytes of an answer: room for thousands of upstreams, but an end.
_MAX_ANSWER = 64 * 1024 * 1024


class CommandError(ProblemError):
    """A command cannot be done."""


class NotAllowed(CommandError):
    """This user may not use the control socket, nor see whether there is one."""


class NobodyThere(CommandError):
    """No server listens on the control socket, or it ended before it had answered."""


class NoAnswer(CommandError):
    """Somebody listens on the control socket but does not answer in time."""


def socket_path(run_dir: Path, name: int | str, worker: int | None = None) -> Path:
    """The path of a server's control socket; its name is mostly its port. Each worker has a socket of its own."""
    return run_dir / (f"control-{name}.sock" if worker is None else f"control-{name}.{worker}.sock")


def control_sockets(name: int | str, table: Path = Path("/proc/net/unix")) -> list[Path]:
    """The control sockets of servers of this name that any process of this machine has open, wherever they are.

    The kernel lists them for every user, including those that only their owner may use.
    """
    try:
        lines = table.read_text(errors="replace").splitlines()
    except OSError:
        return []
    # Columns: Num RefCount Protocol Flags Type St Inode Path; connections to it have the path, too.
    named = (Path(parts[7]) for line in lines if len(parts := line.split(None, 7)) == 8)
    return list(dict.fromkeys(path for path in named if path.is_absolute() and path.name == f"control-{name}.sock"))


def connect(path: Path, timeout: float) -> socket.socket:
    """A connection to the control socket, whose operations take at most `timeout` seconds. Raises `CommandError`.

    Root uses this too, so it follows no link: the server's user may have pointed one at somebody else's socket.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if stat.S_ISLNK(os.fstat(place).st_mode):
                raise CommandError(f"{path} is a link, and not the control socket of a kmstwist")
            connection.connect(f"/proc/self/fd/{place}")
        finally:
            os.close(place)
    except CommandError:
        connection.close()
        raise
    except OSError as error:
        connection.close()
        raise _not_connected(path, error) from None
    return connection


def _not_connected(path: Path, error: OSError) -> CommandError:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return NobodyThere(f"no kmstwist runs with the control socket {path}", "name its --port or --run-dir")
    if isinstance(error, PermissionError):
        return NotAllowed(f"only root and the user kmstwist runs as may use {path}", "run the command with sudo")
    return CommandError(f"{path}: {error.strerror or error}")


def ask(path: Path, request: Mapping[str, object], timeout: float = 30.0) -> dict[str, Any]:
    """Send one command and wait for its answer, at most `timeout` seconds. Raises `CommandError`.

    For the `kmstwist` command, which has no reactor.
    """
    try:
        with connect(path, timeout) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = _line(connection, time.monotonic() + timeout)
    except TimeoutError:
        raise NoAnswer(f"kmstwist gave no answer at {path} within {timeout:g} s") from None
    except (ConnectionResetError, BrokenPipeError):
        line = b""
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    if not line:
        raise NobodyThere(f"kmstwist ended the connection at {path}")
    return read_answer(line, path)


def _line(connection: socket.socket, until: float) -> bytes:
    """One line. The time is for the whole line: sending single bytes does not extend it. Raises `TimeoutError`."""
    parts, size = [], 0
    while size < _MAX_ANSWER:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(65_536)
        parts.append(part)
        size += len(part)
        if not part or b"\n" in part:
            break
    return b"".join(parts)


def read_answer(line: bytes, path: Path) -> dict[str, Any]:
    """What an answer says. Raises `CommandError` for a refusal, and for what is not an answer."""
    try:
        answer = json.loads(line)
        if not answer.pop("ok"):
            raise CommandError(str(answer["error"]))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise CommandError(f"what answers at {path} is not a kmstwist") from None
    result: dict[str, Any] = answer
    return result
