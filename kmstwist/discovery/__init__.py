"""DNS: finding KMS hosts, publishing our own record, noticing strangers."""
