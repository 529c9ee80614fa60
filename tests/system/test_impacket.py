"""impacket, an independent RPC implementation, as a client of the lab and of a gateway in front of it."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from impacket.dcerpc.v5 import mgmt, transport
from impacket.dcerpc.v5.dtypes import DWORD, ULONG
from impacket.dcerpc.v5.ndr import NDRCALL, NDRPOINTER, NDRUniConformantArray
from impacket.dcerpc.v5.rpcrt import DCERPCException
from impacket.uuid import bin_to_uuidtup, uuidtup_to_bin

from kmstwist.kms.catalogue import find
from kmstwist.kms.version import Version
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.client import LabClient
from tests.system.conftest import Server

KMS = ("51c82175-844e-4750-b0d8-ec255555bc06", "1.0")
#: Whether the hosts behind a gateway answer: docs/rpc.md.
REACH = ("0521e8d2-3ca9-40cc-874f-bf49d775097e", "1.0")
MGMT = ("afa8bd80-7d8a-11c9-bef4-08002b102989", "1.0")
NDR64 = ("71710533-beba-4937-8319-b5dbef9ccc36", "1.0")
ACCESS_DENIED = 5
COUNT_TOO_SMALL = 0xC004F038


class ByteArray(NDRUniConformantArray):
    item = "c"


class ByteArrayPointer(NDRPOINTER):
    referent = (("Data", ByteArray),)


class RequestActivation(NDRCALL):
    opnum = 0
    structure = (("requestSize", DWORD), ("request", ByteArray))


class RequestActivationResponse(NDRCALL):
    structure = (("responseSize", DWORD), ("response", ByteArrayPointer), ("ErrorCode", ULONG))


def connect(port: int) -> Any:
    rpc = transport.DCERPCTransportFactory(f"ncacn_ip_tcp:127.0.0.1[{port}]").get_dce_rpc()
    rpc.connect()
    return rpc


def request_activation(rpc: Any, message: bytes) -> RequestActivationResponse:
    call = RequestActivation()
    call["requestSize"] = len(message)
    call["request"] = message
    rpc.call(call.opnum, call)
    return RequestActivationResponse(rpc.recv())


@pytest.fixture(params=["lab", "gateway"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def management(server: Any) -> Iterator[Any]:
    rpc = connect(server.port)
    rpc.bind(mgmt.MSRPC_UUID_MGMT)
    yield rpc
    rpc.disconnect()


@pytest.mark.parametrize("major", [4, 5, 6])
def test_a_lab_client_gets_its_answer_through_impacket_in_every_protocol_version(
    major: int, server: Any, lab: Server
) -> None:
    cipher = LabCipher(lab.lab_key(), os.urandom)
    client = LabClient(
        f"impacket-{major}",
        UUID(bytes=os.urandom(16)),
        find("Windows 11 / 10 Enterprise"),
        installed=time.time(),
        version=Version(major, 0),
    )
    rpc = connect(server.port)
    rpc.bind(uuidtup_to_bin(KMS))
    answer = request_activation(rpc, client.seal_request(cipher, time.time()))
    rpc.disconnect()

    assert answer["ErrorCode"] == 0
    message = b"".join(answer["response"])
    assert len(message) == answer["responseSize"]
    outcome = client.process_message(cipher, 0, message, time.time())
    assert outcome.hresult == COUNT_TOO_SMALL, outcome.detail
    assert outcome.count is not None
    assert 1 <= outcome.count < 25
    assert client.host_id == lab.lab_key().host_id
    line = server.conversation(version=f"{major}.0", result="answered")
    assert line["count"] == outcome.count if server is lab else line["upstream"] == f"127.0.0.1:{lab.port}"


def test_a_request_of_an_unknown_version_gets_a_status_and_a_null_pointer(server: Any) -> None:
    rpc = connect(server.port)
    rpc.bind(uuidtup_to_bin(KMS))
    answer = request_activation(rpc, b"\0\0\x09\0" + bytes(100))
    rpc.disconnect()
    assert answer["ErrorCode"] & 0x80000000
    assert answer["responseSize"] == 0
    assert answer.fields["response"]["ReferentID"] == 0


def test_an_unknown_operation_is_a_fault_that_impacket_names(server: Any) -> None:
    rpc = connect(server.port)
    rpc.bind(uuidtup_to_bin(KMS))
    rpc.call(7, b"")
    with pytest.raises(DCERPCException, match="nca_s_op_rng_error"):
        rpc.recv()
    rpc.disconnect()


def test_the_management_interface_lists_the_interfaces_and_not_itself(management: Any) -> None:
    answer = mgmt.hinq_if_ids(management)
    assert answer["status"] == 0
    listed = [
        bin_to_uuidtup(entry["Data"]["Uuid"] + _version(entry["Data"])) for entry in answer["if_id_vector"]["if_id"]
    ]
    assert [(uuid.lower(), version) for uuid, version in listed] == [KMS, REACH]


def _version(interface: Any) -> bytes:
    return struct.pack("<HH", interface["VersMajor"], interface["VersMinor"])


def test_the_management_interface_counts_calls_and_packets(management: Any) -> None:
    calls_in, calls_out, packets_in, packets_out = mgmt.hinq_stats(management, 4)["statistics"]
    again = mgmt.hinq_stats(management, 4)["statistics"]
    # No other client talks to the server now: one call and one answer, one packet each way in between.
    assert list(again) == [calls_in + 1, calls_out + 1, packets_in + 1, packets_out + 1]
    assert len(mgmt.hinq_stats(management, 2)["statistics"]) == 2


def test_the_server_says_that_it_listens_and_will_not_stop_for_a_client(management: Any) -> None:
    assert mgmt.his_server_listening(management)["status"] == 0
    with pytest.raises(DCERPCException) as refusal:
        mgmt.hstop_server_listening(management)
    assert refusal.value.get_error_code() == ACCESS_DENIED
    assert mgmt.his_server_listening(management)["status"] == 0


def test_no_principal_name_is_given(management: Any) -> None:
    answer = mgmt.hinq_princ_name(management, 10, 64)
    assert b"".join(answer["princ_name"]) == b"\0"
    assert answer["status"] == 1747
