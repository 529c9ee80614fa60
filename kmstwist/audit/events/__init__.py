"""Windows' own side of the story: the KMS host's events, read from what Windows exports and joined to our records."""
