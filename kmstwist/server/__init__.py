"""The service tree: options, configuration, listening protocol, wiring."""

from kmstwist.startup import load_undisturbed, speak_plainly
from kmstwist.system.plainreactor import load_without_tls

# twistd imports this room first, and the rest of it takes its time, in which somebody may press Ctrl-C.
speak_plainly()
load_undisturbed()
load_without_tls()
