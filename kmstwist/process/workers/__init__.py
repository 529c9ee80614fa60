"""Several workers behind one port: the supervisor, what it hands to them, and how it finds those that hang."""
