"""Events over the network: syslog and JSON lines from the KMS hosts, into the audit's store."""
