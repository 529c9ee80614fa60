"""The `kmstwist` command: one module per verb."""
