"""The program's surroundings: users and their files, installed packages, SQLite's codes."""
