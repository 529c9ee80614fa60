"""Runs Samba's own raw protocol tests against a server, with the system's Python, which has Samba's modules.

    python3 samba_suite.py PORT [PART OF PARTS]

The suite speaks to Samba or Windows on port 135. Three things are set for a server that has other interfaces: the port
(its number must have three digits: one test counts the secondary address's bytes), the interface that calls are made
on (mgmt instead of netlogon), and the operation those calls name: they want twelve bytes and a status of 0 back, which
netlogon's operation 4 gives them and mgmt's inq_stats does when asked for no statistics.

Left out, by name: tests that authenticate, and two of association groups that need SMB pipes.
"""

import os
import struct
import sys
import unittest
from typing import Any

PORT = sys.argv[1]
PART, PARTS = (int(argument) for argument in sys.argv[2:4])
os.environ.update(
    SERVER="127.0.0.1",
    SMB_CONF_PATH="/dev/null",
    DOMAIN="none",
    REALM="none",
    USERNAME="none",
    PASSWORD="none",
    IGNORE_RANDOM_PAD="1",
)

import samba.dcerpc.base as base  # noqa: E402
import samba.dcerpc.mgmt as mgmt  # noqa: E402
from samba.tests.dcerpc import raw_protocol, raw_testcase  # noqa: E402

AUTHENTICATED = ("spnego", "ntlm", "krb5", "lsa", "multiple_auth")
SMB_PIPES = ("assoc_group_ok2", "assoc_group_fail3")
NETLOGON_OPERATION, INQ_STATS = 4, 1


class OurPort:
    """Replaces the suite's port 135 by the server's."""

    def __get__(self, instance: object, owner: type | None = None) -> str:
        return PORT

    def __set__(self, instance: object, value: object) -> None:
        pass


raw_testcase.RawDCERPCTest.primary_address = OurPort()


class Suite(raw_protocol.TestDCERPC_BIND):
    def _get_netlogon_ctx(self) -> tuple[Any, Any, bytes]:
        ctx, ack = self.prepare_presentation(
            mgmt.abstract_syntax(), base.transfer_syntax_ndr(), context_id=0, return_ack=True
        )
        return ctx, ack, struct.pack("<II", 0, 0)

    def generate_request(self, *args: Any, opnum: int | None = None, **kwargs: Any) -> Any:
        if opnum == NETLOGON_OPERATION:
            opnum = INQ_STATS
        return super().generate_request(*args, opnum=opnum, **kwargs)


names = [
    name
    for name in unittest.TestLoader().getTestCaseNames(Suite)
    if not any(part in name for part in AUTHENTICATED + SMB_PIPES)
]
result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(Suite(name) for name in names[PART::PARTS]))
print(f"ran {result.testsRun} of {len(names)}")
sys.exit(not result.wasSuccessful() or bool(result.skipped))
