"""Our own record in DNS: signed updates, and the service that keeps it there."""
