"""The reports that administrators are asked for: queries with typed rows, and their rendering.

Each report is a function of a connection and a `Query`, in the module of its subject; `all.REPORTS` lists them.
The command line and the status site show the same rows. None reads the raw records (see `kmstwist.audit.schema`).
"""
