"""The audit's summary tables: what each one says, what a record adds to it, and how it is computed again."""
