"""The process's life: supervisor and workers, sockets, handover, signals, readiness, the control socket."""
