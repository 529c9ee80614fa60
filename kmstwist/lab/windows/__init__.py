"""The Windows around a lab machine: its WMI classes, its registry, its event log, and the scripts that query them."""
