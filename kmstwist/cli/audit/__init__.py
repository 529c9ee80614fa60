"""The verbs that work on the audit: audit, events, report."""
