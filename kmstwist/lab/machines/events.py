"""The events a KMS client logs, 12288 and 12289, with the fields Microsoft documents.

The text after `Info:` is one line of fields between commas (Volume Activation 2.0 Operations Guide, "KMS Events Logged
in Windows Event Log").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from kmstwist.addresses import HostPort
from kmstwist.kms.messages import Request

REQUEST_SENT = 12288
ANSWER_PROCESSED = 12289
TEXTS = {
    REQUEST_SENT: "The client has sent an activation request to the key management service machine.",
    ANSWER_PROCESSED: "The client has processed an activation response from the key management service machine.",
}
_TIME_FIELD = {REQUEST_SENT: 4, ANSWER_PROCESSED: 7}
_TIME_FORMAT = "%Y/%m/%d %H:%M"
_NO_FLAGS = "0x00000000"


@dataclass(frozen=True, slots=True)
class MachineEvent:
    """One event: when (Unix seconds), its number, the fields after `Info:`, and the product it is about."""

    at: float
    number: int
    info: str
    product: str

    def older(self, seconds: float) -> MachineEvent:
        """The same event so much earlier, with the client's time in it."""
        fields = self.info.split(",")
        place = _TIME_FIELD[self.number]
        earlier = datetime.strptime(fields[place], _TIME_FORMAT).replace(tzinfo=UTC) - timedelta(seconds=seconds)
        fields[place] = _time(earlier)
        return replace(self, at=self.at - seconds, info=",".join(fields))

    @property
    def text(self) -> str:
        """The event's text as the Event Viewer shows it."""
        return f"{TEXTS[self.number]}\nInfo:\n{self.info}"


def request_sent(now: float, hresult: int, host: HostPort, request: Request, product: str) -> MachineEvent:
    """Event 12288: a request went to a host, or (`hresult` not 0) could not be brought there."""
    fields = (
        _hex(hresult),
        _NO_FLAGS,
        str(host),
        str(request.cmid),
        _time(request.client_datetime),
        request.vm_info,
        request.license_status,
        request.minutes_left,
        str(request.act_id),
        request.required_count,
    )
    return MachineEvent(now, REQUEST_SENT, ",".join(map(str, fields)), product)


def answer_processed(
    now: float, hresult: int, activated: bool, count: int, intervals: tuple[int, int], request: Request, product: str
) -> MachineEvent:
    """Event 12289: an answer came and was processed. `intervals` are the activation's and the renewal's, in minutes."""
    fields = (_hex(hresult), _NO_FLAGS, int(activated), 0, count, *intervals, _time(request.client_datetime))
    return MachineEvent(now, ANSWER_PROCESSED, ",".join(map(str, fields)), product)


def _hex(hresult: int) -> str:
    return f"0x{hresult & 0xFFFFFFFF:08X}"


def _time(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment.year}/{moment.month}/{moment.day} {moment.hour:02}:{moment.minute:02}"
