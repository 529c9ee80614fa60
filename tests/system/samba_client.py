"""Asks a server's management interface through Samba's RPC client; the answers go to standard output as JSON.

    python3 samba_client.py BINDING

BINDING is a binding string of Samba's, such as `ncacn_ip_tcp:127.0.0.1[1688,bigendian]`. To be run with the system's
Python, which has Samba's modules.
"""

import json
import sys
from collections.abc import Callable

from samba import WERRORError
from samba.credentials import Credentials
from samba.dcerpc import base, mgmt
from samba.param import LoadParm


def refusal(call: Callable[..., object], *arguments: object) -> int:
    try:
        call(*arguments)
    except WERRORError as error:
        return int(error.args[0])
    return 0


nobody = Credentials()
nobody.set_anonymous()
server = mgmt.mgmt(sys.argv[1], LoadParm(), nobody)
answers = {
    "listening": server.is_server_listening(),
    "interfaces": [(str(interface.id.uuid), interface.id.if_version) for interface in server.inq_if_ids().if_id],
    "stop": refusal(server.stop_server_listening),
    "principal": refusal(server.inq_princ_name, 10, 64),
}
# Samba's IDL makes one structure of inq_stats' two outputs, which is the same in NDR32 alone.
if "ndr64" not in sys.argv[1]:
    answers["statistics"] = list(server.inq_stats(4, 0).statistics)
# Samba has no IDL for this interface: the response's bytes are six integers of 32 bits.
reach = base.ClientConnection(sys.argv[1], ("0521e8d2-3ca9-40cc-874f-bf49d775097e", 1), LoadParm(), nobody)
answers["reach"] = reach.request(0, b"").hex()
print(json.dumps(answers))
