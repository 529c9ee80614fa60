"""What Windows around a lab machine answers: its WMI classes, its registry, its event log, and the scripts that ask."""
