"""The central store: one PostgreSQL that several gateways send their records to."""
