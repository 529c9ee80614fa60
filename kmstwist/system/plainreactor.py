"""Twisted's sockets without TLS until somebody needs it.

Where pyOpenSSL is installed, Twisted imports it together with every reactor, which is a third of the time that twistd
takes to be there (0.1 s). KMS clients speak no TLS, so it is loaded for an endpoint that has it.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec

from kmstwist.system.hiding import hidden

#: What Twisted loads with a reactor, and what of it has a way of its own where pyOpenSSL is missing.
_SOCKETS = ("twisted.internet.tcp", "twisted.internet.posixbase", "twisted.internet.endpoints")
_PYOPENSSL = "OpenSSL"
#: Descriptions of endpoints that have no use for TLS.
_PLAIN = re.compile(r"(?:haproxy:)*(?:tcp6?|unix|systemd):")


def load_without_tls() -> None:
    """Load Twisted's sockets as they are where pyOpenSSL is not installed; nothing where they are loaded already."""
    if _PYOPENSSL in sys.modules or any(name in sys.modules for name in _SOCKETS):
        return
    with hidden(_PYOPENSSL):
        for name in _SOCKETS:
            import_module(name)


def prepare_endpoint(description: str) -> None:
    """Load the sockets, and TLS where an endpoint may need it: to be called before one is made of its description."""
    load_without_tls()
    if not _PLAIN.match(description):
        _load_tls()


def _load_tls() -> None:
    """Give Twisted's sockets what they lack without pyOpenSSL, from copies of them that are imported with it."""
    if find_spec(_PYOPENSSL) is None:
        return
    for name in _SOCKETS[1:]:
        loaded = vars(import_module(name))
        spec = find_spec(name)
        if loaded.get("TLSMemoryBIOFactory", loaded.get("tls")) is not None or spec is None or spec.loader is None:
            continue
        copy = module_from_spec(spec)
        spec.loader.exec_module(copy)
        loaded.update({key: value for key, value in vars(copy).items() if loaded.get(key) is None})
