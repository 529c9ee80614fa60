"""One file and the environment: reading, checking, and the commented default."""
