"""Who may ask, how often, and over how many connections."""
