"""`kmstwist lab`: rehearsing activation."""
