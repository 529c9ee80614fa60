"""What is done with a store, and said of one, without SQLAlchemy: a server loads that when it listens already."""
