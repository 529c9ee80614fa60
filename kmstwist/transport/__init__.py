"""Twisted on the client side: connections that carry an RPC client association, and the probe."""
