"""`kmstwist log`: reading the log."""
