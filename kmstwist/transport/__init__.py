"""Twisted on the client side: connections that carry an RPC client association, and the probe."""

from kmstwist.system.plainreactor import load_without_tls

# Before the rest of it loads them as they come.
load_without_tls()
