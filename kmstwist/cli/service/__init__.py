"""The service on a machine where no package installed it: its files, its user, and taking them away again."""
