"""The service tree: options, configuration, listening protocol, wiring."""
