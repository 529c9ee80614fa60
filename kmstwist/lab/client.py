"""A lab client: one simulated machine's licence, with the published behaviour of a KMS client.

This is pure: `request` makes the next request, `process` takes the answer, both at a time that is passed in as Unix
seconds. All times are in seconds; the minutes of the wire (intervals, time left) are converted at the boundary.

The timeline (Microsoft's planning guides): 30 days of initial grace, asking every 120 minutes until the host's count is
at least the product's threshold; then licensed for 180 days, renewing every 7 days, each renewal starting the 180 days
anew; when renewing fails, again every 120 minutes; past the 180 days another 30 days of grace; then notification mode,
in which it goes on asking. The intervals are the host's, once it has answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from kmstwist.kms import filetime
from kmstwist.kms.catalogue import Product
from kmstwist.kms.labids import activation_id, kms_id
from kmstwist.kms.messages import LicenseStatus, MessageError, Request, Response
from kmstwist.kms.status import Status
from kmstwist.kms.version import V6, Version
from kmstwist.lab.host_settings import DEFAULT_ACTIVATION_INTERVAL, DEFAULT_RENEWAL_INTERVAL
from kmstwist.lab.keys import HOST_ID_PREFIX

# Commands that only show machines do without AES.
if TYPE_CHECKING:
    from kmstwist.lab.cipher import LabCipher

GRACE_PERIOD = 30 * 86_400
"""Seconds of grace, before the first activation and after one has expired."""
ACTIVATION_PERIOD = 180 * 86_400
"""Seconds that an activation lasts."""

_MINUTE = 60
_OK = int(Status.S_OK)
_COUNT_TOO_SMALL = int(Status.SL_E_VL_NOT_ENOUGH_COUNT)
_BAD_ANSWER = int(Status.E_INVALID_DATA)
_NO_UUID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an answer.

    `hresult` is 0 if the client is licensed by it; `count` is the host's count, if there was one; `status` is the
    licence state after it, which a failure does not change; `next_attempt` is when the client asks again (Unix
    seconds); `detail` is a clause if the code does not say enough.
    """

    hresult: int
    status: LicenseStatus
    next_attempt: float
    count: int | None = None
    detail: str = ""

    @property
    def activated(self) -> bool:
        """Whether this answer licensed the client."""
        return self.hresult == _OK


class LabClient:
    """One machine's licence for one product.

    `installed` is when its grace began (Unix seconds); `required_count` its N-Policy, the product's threshold unless
    given. Readable state: `status`; `expires`, when that status ends (None in notification mode); `next_attempt`;
    `last_success`; `host_id`; and the intervals in force, in minutes.
    """

    __slots__ = (
        "_act_id",
        "_asked",
        "_kms_id",
        "activation_interval",
        "cmid",
        "expires",
        "host_id",
        "last_success",
        "machine_name",
        "next_attempt",
        "previous_cmid",
        "product",
        "renewal_interval",
        "required_count",
        "status",
        "version",
        "virtual_machine",
    )

    def __init__(
        self,
        machine_name: str,
        cmid: UUID,
        product: Product,
        *,
        installed: float,
        version: Version = V6,
        virtual_machine: bool = False,
        required_count: int | None = None,
        previous_cmid: UUID = _NO_UUID,
    ) -> None:
        self.machine_name = machine_name
        self.cmid = cmid
        self.previous_cmid = previous_cmid
        self.product = product
        self.version = version
        self.virtual_machine = virtual_machine
        self.required_count = product.threshold if required_count is None else required_count
        self.status = LicenseStatus.OOB_GRACE
        self.expires: float | None = installed + GRACE_PERIOD
        self.next_attempt = installed
        self.last_success: float | None = None
        self.host_id: str | None = None
        self.activation_interval = DEFAULT_ACTIVATION_INTERVAL
        self.renewal_interval = DEFAULT_RENEWAL_INTERVAL
        self._act_id = activation_id(product.name)
        self._kms_id = kms_id(product.family)
        self._asked: Request | None = None

    def advance(self, now: float) -> LicenseStatus:
        """Let time pass until `now`. Returns the licence state then."""
        if self.expires is not None and now >= self.expires:
            if self.status is LicenseStatus.LICENSED:
                self.status = LicenseStatus.OOT_GRACE
                self.expires += GRACE_PERIOD
                return self.advance(now)
            self.status = LicenseStatus.NOTIFICATION
            self.expires = None
        return self.status

    def minutes_left(self, now: float) -> int:
        """Whole minutes until the present licence state ends; 0 in notification mode."""
        return 0 if self.expires is None else max(0, int((self.expires - now) // _MINUTE))

    def request(self, now: float, clock_error: float = 0.0) -> Request:
        """The request to send now; `clock_error` is how many seconds this machine's clock is ahead of `now`."""
        self.advance(now)
        self._asked = Request(
            version=self.version,
            vm_info=1 if self.virtual_machine else 0,
            license_status=self.status,
            minutes_left=self.minutes_left(now),
            app_id=self.product.app_id,
            act_id=self._act_id,
            kms_id=self._kms_id,
            cmid=self.cmid,
            required_count=self.required_count,
            client_time=filetime.from_unix(now + clock_error),
            previous_cmid=self.previous_cmid,
            machine_name=self.machine_name,
        )
        return self._asked

    def process(self, hresult: int, response: Response | None, now: float) -> Outcome:
        """Take the answer to the last request: a response with `hresult` 0, else a status code and None.

        A status code is also how a caller reports that no host answered (`0xC004F074`, `0x800706BA`, ...). An answer
        that does not match the request changes nothing and gives `0x8007000D`.
        """
        self.advance(now)
        asked, self._asked = self._asked, None
        if hresult != _OK or response is None:
            return self._failed(hresult or _BAD_ANSWER, now, "" if hresult else "success without a response")
        if asked is None:
            return self._failed(_BAD_ANSWER, now, "an answer to no request")
        if misfit := _misfit(asked, response):
            return self._failed(_BAD_ANSWER, now, misfit)
        self.host_id = response.host_id
        self.activation_interval = response.activation_interval
        self.renewal_interval = response.renewal_interval
        if response.count < self.required_count:
            return self._failed(
                _COUNT_TOO_SMALL, now, f"count {response.count} of {self.required_count}", response.count
            )
        self.status = LicenseStatus.LICENSED
        self.expires = now + ACTIVATION_PERIOD
        self.last_success = now
        self.next_attempt = now + self.renewal_interval * _MINUTE
        return Outcome(_OK, self.status, self.next_attempt, response.count)

    def seal_request(self, cipher: LabCipher, now: float) -> bytes:
        """The message to send now: `request` under the lab's keys."""
        return cipher.seal_request(self.request(now))

    def process_message(self, cipher: LabCipher, hresult: int, message: bytes, now: float) -> Outcome:
        """Take an answer from the wire: `process` for a message under the lab's keys."""
        if hresult != _OK:
            return self.process(hresult, None, now)
        try:
            response = cipher.open_response(message)
        except MessageError as error:
            self._asked = None
            self.advance(now)
            return self._failed(_BAD_ANSWER, now, f"the answer is not this lab's: {error}")
        return self.process(hresult, response, now)

    def _failed(self, hresult: int, now: float, detail: str, count: int | None = None) -> Outcome:
        self.next_attempt = now + self.activation_interval * _MINUTE
        return Outcome(hresult, self.status, self.next_attempt, count, detail)


def _misfit(asked: Request, response: Response) -> str:
    """Why a response is not an answer to a request, or nothing."""
    if response.version != asked.version:
        return f"the answer is of version {response.version}, the request of {asked.version}"
    if response.cmid != asked.cmid:
        return f"the answer is for client {response.cmid}, not {asked.cmid}"
    if response.client_time != asked.client_time:
        return "the answer echoes another request's time"
    if not response.host_id.startswith(HOST_ID_PREFIX):
        return f'the host calls itself "{response.host_id}", which is not a lab host'
    return ""
