"""Which values of the configuration the command line can set, and how.

An option is one line of `OPTIONS`: its name, the place of the value it sets, its type, and what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kmstwist.configuration.places import Place


@dataclass(frozen=True, slots=True)
class Option:
    """An option: `--name`, the place of its value, how its text becomes one, and what it does.

    A `repeated` option may be given several times, and its values are the list that stands at the place. The value is
    put into the places in `also`, too.
    """

    name: str
    place: Place
    convert: Callable[[str], object]
    help: str
    short: str | None = None
    repeated: bool = False
    also: tuple[Place, ...] = ()


def _families(text: str) -> list[str]:
    return [family.strip() for family in text.split(",")]


def _upstream(text: str) -> dict[str, Any]:
    return {"address": text}


OPTIONS = (
    Option("port", ("server", "port"), int, "TCP port to listen on, for IPv4 and IPv6.", "p"),
    Option(
        "listen",
        ("server", "listen"),
        str,
        "Listen on ADDRESS:PORT instead of --port, such as 10.0.0.1:1688 or [2001:db8::1]:1688, or on a Twisted "
        "endpoint, such as systemd:domain=INET6:index=0.",
        repeated=True,
    ),
    Option("state-dir", ("server", "state_dir"), str, "Folder for files that must outlive the process."),
    Option("run-dir", ("server", "run_dir"), str, "Folder for the control socket. [the state folder]"),
    Option("workers", ("server", "workers"), int, "Processes that share the port; for a gateway only. [1]"),
    Option("log-format", ("server", "log", "format"), str, "How log lines look: text (key=value) or json. [text]"),
    Option(
        "log-level",
        ("server", "log", "level"),
        str,
        "The lowest level that is logged: debug, info, warn, error. [info]",
    ),
    Option(
        "idle-timeout",
        ("server", "timeouts", "idle"),
        float,
        "Seconds a client may be silent: the timeouts first_byte, request and idle in one. [10, 30 and 30]",
        also=(("server", "timeouts", "first_byte"), ("server", "timeouts", "request")),
    ),
    Option("drain-timeout", ("server", "timeouts", "drain"), float, "Seconds for calls under way when stopping. [10]"),
    Option(
        "max-connections",
        ("server", "limits", "connections"),
        int,
        "Connections open at the same time; one more gets the place of a silent one. [20000]",
    ),
    Option(
        "upstream",
        ("gateway", "upstreams"),
        _upstream,
        "A licensed KMS host to be a gateway for, as HOST or HOST:PORT. Replaces the file's.",
        repeated=True,
    ),
    Option(
        "discover", ("gateway", "discover"), str, "Find KMS hosts through the _vlmcs._tcp SRV records of this domain."
    ),
    Option(
        "dns-server",
        ("dns", "servers"),
        str,
        "DNS server to ask, as ADDRESS or ADDRESS:PORT. [those of /etc/resolv.conf]",
        repeated=True,
    ),
    Option("policy", ("gateway", "policy"), str, "How an upstream is chosen: sticky or spread. [sticky]"),
    Option("deadline", ("gateway", "deadline"), float, "Seconds a call may take over all upstreams. [10]"),
    Option(
        "upstream-timeout",
        ("gateway", "attempt_timeout"),
        float,
        "Seconds that one upstream may take to answer before the next is tried. [5]",
    ),
    Option(
        "activation-interval",
        ("lab", "activation_interval"),
        int,
        "Lab: minutes between the attempts of a client that is not activated yet. [120]",
    ),
    Option(
        "renewal-interval",
        ("lab", "renewal_interval"),
        int,
        "Lab: minutes between the renewals of an activated client. [10080]",
    ),
    Option("lab-key", ("lab", "key"), str, "Lab: the lab.key of another lab, if several labs serve the same clients."),
    Option(
        "lab-products",
        ("lab", "products"),
        _families,
        "Lab: product families that its host covers, separated by commas: Windows, Windows Server, Office. [all]",
    ),
    Option(
        "lab-clock-error",
        ("lab", "clock_error"),
        float,
        "Lab: minutes by which its host's clock is ahead, to see it refuse clients (0xC004F06C). [0]",
    ),
    Option(
        "web",
        ("web", "listen"),
        str,
        "Serve health, metrics and the status page at this address, such as 127.0.0.1:9688.",
    ),
    Option("allow", ("admission", "allow"), str, "A network that may ask. Replaces the private ones.", repeated=True),
    Option("deny", ("admission", "deny"), str, "A network that may not ask.", repeated=True),
    Option(
        "proxy-from",
        ("admission", "proxy_from"),
        str,
        "A load balancer that begins its connections with a PROXY protocol header.",
        repeated=True,
    ),
)
