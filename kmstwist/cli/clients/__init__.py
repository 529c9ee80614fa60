"""The verbs for Windows clients: errors, keys, setup-client."""
