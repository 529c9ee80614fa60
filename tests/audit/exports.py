"""Files of events as Windows exports them, made from one list of events."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from tests.audit.evtx_writer import evtx
from tests.audit.making import uuid

HOST = "KMS1.example.com"


@dataclass(frozen=True)
class Sample:
    number: int
    when: datetime
    data: tuple[str, ...] = field(default=())
    event_id: int = 12290
    computer: str = HOST

    @property
    def message(self) -> str:
        return f"An activation request has been processed.\r\nInfo:\r\n{','.join(self.data)}"

    @property
    def xml(self) -> str:
        stamp = self.when.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
        data = "".join(f"<Data>{escape(text)}</Data>" for text in self.data)
        return (
            "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
            "<Provider Name='Microsoft-Windows-Security-SPP' Guid='{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}' "
            "EventSourceName='Software Protection Platform Service'/>"
            f"<EventID Qualifiers='16384'>{self.event_id}</EventID><Version>0</Version><Level>4</Level>"
            f"<TimeCreated SystemTime='{stamp}'/><EventRecordID>{self.number}</EventRecordID>"
            f"<Channel>Key Management Service</Channel><Computer>{self.computer}</Computer><Security/></System>"
            f"<EventData>{data}</EventData></Event>"
        )

    @property
    def powershell(self) -> dict[str, Any]:
        return {
            "Message": self.message,
            "Id": self.event_id,
            "RecordId": self.number,
            "LogName": "Key Management Service",
            "MachineName": self.computer,
            "TimeCreated": self.when,
        }


def request(number: int, when: datetime, machine: str, hresult: str = "0x0", vm: int = 0, **changes: Any) -> Sample:
    data = (
        hresult,
        "25",
        machine,
        uuid(machine),
        when.strftime("%Y/%-m/%-d %H:%M"),
        str(vm),
        "1",
        "250000",
        uuid("Windows 10 Enterprise"),
    )
    return Sample(number, when, data, **changes)


def as_xml(samples: list[Sample], root: bool = False) -> bytes:
    body = "\r\n".join(sample.xml for sample in samples)
    return (f"<?xml version='1.0' encoding='utf-8'?>\r\n<Events>{body}</Events>" if root else body).encode()


def as_json_7(samples: list[Sample]) -> bytes:
    """PowerShell 7: ISO times, UTF-8."""
    rows = [sample.powershell | {"TimeCreated": sample.when.isoformat()} for sample in samples]
    return json.dumps(rows if len(rows) > 1 else rows[0], indent=2).encode()


def as_json_5(samples: list[Sample]) -> bytes:
    """Windows PowerShell redirected to a file: UTF-16 with a mark, its own dates, the strings as properties."""
    rows = [
        sample.powershell
        | {
            "TimeCreated": f"/Date({int(sample.when.timestamp() * 1000)})/",
            "Message": "Eine Anforderung wurde verarbeitet.",
            "Properties": [{"Value": text} for text in sample.data],
        }
        for sample in samples
    ]
    return ("\ufeff" + json.dumps(rows).replace("/Date", r"\/Date").replace(")/", r")\/")).encode("utf-16-le")


def as_csv(
    samples: list[Sample], manner: str = "%m/%d/%Y %I:%M:%S %p", delimiter: str = ",", kind: bool = True
) -> bytes:
    output = io.StringIO()
    if kind:
        output.write("#TYPE System.Diagnostics.Eventing.Reader.EventLogRecord\r\n")
    writer = csv.DictWriter(output, list(samples[0].powershell), delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for sample in samples:
        writer.writerow(sample.powershell | {"TimeCreated": sample.when.strftime(manner)})
    return output.getvalue().encode()


def as_evtx(samples: list[Sample]) -> bytes:
    return evtx([(sample.number, sample.when, sample.xml) for sample in samples])
