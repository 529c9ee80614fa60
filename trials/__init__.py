"""Long trials of what docs/promises.md says: real processes, killed, flooded and left alone; for `make trials`."""
