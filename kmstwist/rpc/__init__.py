"""Connection-oriented DCE/RPC: PDUs, NDR and the association state machines. No I/O, no clock, no Twisted."""
