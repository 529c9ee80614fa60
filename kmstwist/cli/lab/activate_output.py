"""What `kmstwist lab activate` says of clients that asked; separate, since its help needs no network."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kmstwist.addresses import HostPort
from kmstwist.kms.status import Status, explain
from kmstwist.lab.client import LabClient, Outcome
from kmstwist.lab.network_client import Asked, WireOutcome
from kmstwist.reasons import Reason
from kmstwist.transport.errors import SourceError, UpstreamError


def unanswered(error: UpstreamError, where: HostPort) -> str:
    """Why nobody answered, and what to do about it."""
    if isinstance(error, SourceError):
        return f"{where} was not asked: {error.detail}; check --source against the addresses that ip address shows"
    if error.reason in (Reason.UPSTREAM_REFUSED, Reason.UPSTREAM_TIMEOUT):
        cure = "start a lab there (twistd -n kms), or name another with --host and --port"
    elif error.reason is Reason.UPSTREAM_DNS:
        cure = "check that --host is right"
    else:
        cure = f"see what answers there: kmstwist probe {where}"
    return f"no answer from {where}: {error.detail}; {cure}"


def answered(entry: Asked) -> bool:
    """Whether a client got an answer it could use, even if the count in it was too small."""
    result = entry.result
    return isinstance(result, WireOutcome) and result.outcome.hresult in (0, Status.SL_E_VL_NOT_ENOUGH_COUNT)


def _state(result: WireOutcome | UpstreamError) -> tuple[str, str]:
    """A client's licence after its attempt, in words, and the colour for it."""
    if isinstance(result, UpstreamError):
        return f"no answer: {result.detail}", "red"
    outcome = result.outcome
    if outcome.activated:
        return "licensed for 180 days", "green"
    if outcome.hresult == Status.SL_E_VL_NOT_ENOUGH_COUNT:
        return f"grace: {outcome.detail}", "yellow"
    return f"refused: {_code(outcome.hresult)} {_text(outcome)}", "red"


def facts(entry: Asked) -> dict[str, object]:
    """The outcome of one client's attempt; values that it did not get are null."""
    result, client = entry.result, entry.client
    text, _ = _state(result)
    answered = isinstance(result, WireOutcome)
    return {
        "machine": client.machine_name,
        "cmid": str(client.cmid),
        "product": client.product.name,
        "kms_version": str(client.version),
        "result": text,
        "licensed": isinstance(result, WireOutcome) and result.outcome.activated,
        "code": _code(result.outcome.hresult) if isinstance(result, WireOutcome) else None,
        "reason": None if isinstance(result, WireOutcome) else str(result.reason),
        "host_id": str(client.host_id) if answered and client.host_id is not None else None,
        "count": result.outcome.count if isinstance(result, WireOutcome) else None,
        "required_count": client.required_count,
        "connect_ms": round(result.connect_ms, 1) if isinstance(result, WireOutcome) else None,
        "call_ms": round(result.call_ms, 1) if isinstance(result, WireOutcome) else None,
    }


def _code(hresult: int) -> str:
    return f"0x{hresult & 0xFFFFFFFF:08X}"


def _text(outcome: Outcome) -> str:
    if outcome.hresult == Status.E_INVALID_DATA:
        return "the message did not verify: is --lab-key a copy of that lab's lab.key?"
    explanation = explain(outcome.hresult)
    return outcome.detail or (explanation.text if explanation else "")


def print_table(asked: list[Asked]) -> None:
    """What each client got, a line each."""
    table = Table(box=None, header_style="bold")
    for heading, justify in (("machine", "left"), ("count", "right"), ("ms", "right"), ("licence", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    licensed = 0
    for entry in asked:
        text, colour = _state(entry.result)
        answered = isinstance(entry.result, WireOutcome)
        count = entry.result.outcome.count if isinstance(entry.result, WireOutcome) else None
        licensed += answered and colour == "green"
        took = f"{entry.result.connect_ms + entry.result.call_ms:.1f}" if isinstance(entry.result, WireOutcome) else ""
        table.add_row(
            escape(entry.client.machine_name), "" if count is None else str(count), took, f"[{colour}]{escape(text)}[/]"
        )
    console = Console()
    console.print(table)
    console.print(f"{licensed} of {len(asked)} licensed")


def print_whole(client: LabClient, result: WireOutcome) -> None:
    """Everything that one client got."""
    outcome = result.outcome
    text, colour = _state(result)
    console = Console(highlight=False)
    rows: list[tuple[str, object]] = [
        ("machine", escape(client.machine_name)),
        ("CMID", client.cmid),
        ("product", client.product.name),
        ("KMS version", client.version),
        ("result", f"[{colour}]{escape(text)}[/]"),
        ("code", _code(outcome.hresult)),
    ]
    if client.host_id is not None:
        rows += [
            ("host id", client.host_id),
            ("count", f"{outcome.count} (needs {client.required_count})"),
            ("activation interval", f"{client.activation_interval} minutes"),
            ("renewal interval", f"{client.renewal_interval} minutes"),
        ]
    rows += [("connect and bind", f"{result.connect_ms:.1f} ms"), ("round trip", f"{result.call_ms:.1f} ms")]
    for name, value in rows:
        console.print(f"{name:<20} {value}")
