"""The verbs for a running server: config, gateway, upstreams, web."""
