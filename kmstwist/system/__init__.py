"""What is around the program: users and their files, installed packages, what SQLite reports."""
