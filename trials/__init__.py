"""Long trials of the promises in docs/promises.md, for `make trials`: real processes, killed, flooded or left alone."""
