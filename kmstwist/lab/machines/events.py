"""The events that a KMS client logs, 12288 and 12289, with the fields Microsoft documents, and 8200.

The text after `Info:` is one line of fields, each after a comma and a space (Volume Activation 2.0 Operations Guide,
"KMS Events Logged in Windows Event Log"; ospp.vbs looks for the space). 8200 is the licensing service's own event for
an activation that failed at Microsoft's server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from kmstwist.addresses import HostPort
from kmstwist.kms.messages import Request

ACQUISITION_FAILED = 8200
REQUEST_SENT = 12288
ANSWER_PROCESSED = 12289
PROVIDER = "Microsoft-Windows-Security-SPP"
LOG = "Application"
SEPARATOR = ", "
TEXTS = {
    REQUEST_SENT: "The client has sent an activation request to the key management service machine.",
    ANSWER_PROCESSED: "The client has processed an activation response from the key management service machine.",
}
_TIME_FIELD = {REQUEST_SENT: 4, ANSWER_PROCESSED: 7}
_TIME_FORMAT = "%Y/%m/%d %H:%M"
_NO_FLAGS = "0x00000000"


@dataclass(frozen=True, slots=True)
class MachineEvent:
    """One event: when (Unix seconds), its number, the line of its fields, and the product it is about."""

    at: float
    number: int
    info: str
    product: str

    @property
    def fields(self) -> list[str]:
        """The event's strings, for a format that has them separately."""
        return [field.strip() for field in self.info.split(",")]

    def older(self, seconds: float) -> MachineEvent:
        """The same event, earlier by this time, including the client's time in it."""
        place = _TIME_FIELD.get(self.number)
        if place is None:
            return replace(self, at=self.at - seconds)
        fields = self.fields
        earlier = datetime.strptime(fields[place], _TIME_FORMAT).replace(tzinfo=UTC) - timedelta(seconds=seconds)
        fields[place] = event_time(earlier)
        return replace(self, at=self.at - seconds, info=SEPARATOR.join(fields))

    @property
    def text(self) -> str:
        """The event's text as the Event Viewer shows it."""
        if self.number == ACQUISITION_FAILED:
            return f"License acquisition failure details.\nhr={self.info}"
        return f"{TEXTS[self.number]}\nInfo:\n{self.info}"


def request_sent(now: float, hresult: int, host: HostPort, request: Request, product: str) -> MachineEvent:
    """Event 12288: a request was sent to a host, or (`hresult` not 0) could not be sent."""
    fields = (
        event_code(hresult),
        _NO_FLAGS,
        str(host),
        str(request.cmid),
        event_time(request.client_datetime),
        request.vm_info,
        request.license_status,
        request.minutes_left,
        str(request.act_id),
        request.required_count,
    )
    return MachineEvent(now, REQUEST_SENT, SEPARATOR.join(map(str, fields)), product)


def answer_processed(
    now: float, hresult: int, activated: bool, count: int, intervals: tuple[int, int], request: Request, product: str
) -> MachineEvent:
    """Event 12289: an answer came and was processed. `intervals` are the activation's and the renewal's, in minutes."""
    fields = (event_code(hresult), _NO_FLAGS, int(activated), 0, count, *intervals, event_time(request.client_datetime))
    return MachineEvent(now, ANSWER_PROCESSED, SEPARATOR.join(map(str, fields)), product)


def acquisition_failed(now: float, hresult: int, product: str) -> MachineEvent:
    """Event 8200: an activation failed at Microsoft's activation server."""
    return MachineEvent(now, ACQUISITION_FAILED, event_code(hresult), product)


def event_code(hresult: int) -> str:
    """A status code in the form of events."""
    return f"0x{hresult & 0xFFFFFFFF:08X}"


def event_time(moment: datetime) -> str:
    """A client's time in the form of events: to the minute, in UTC."""
    return moment.astimezone(UTC).strftime(_TIME_FORMAT)
