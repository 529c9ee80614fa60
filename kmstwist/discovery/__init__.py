"""DNS: finding KMS hosts, publishing ourselves, noticing strangers."""
