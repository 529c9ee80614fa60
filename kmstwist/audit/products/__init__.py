"""Products' names: their ids, and the names that a site, Windows or the lab gives them."""
