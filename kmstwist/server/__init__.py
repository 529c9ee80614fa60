"""The service tree: options, configuration, listening protocol, wiring."""

from kmstwist.startup import collect_rarely, speak_plainly

# twistd imports this room first, and the rest of it takes its time, in which somebody may press Ctrl-C.
speak_plainly()
collect_rarely()
