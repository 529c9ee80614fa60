"""One module for each change of the tables, each naming the one it follows."""
