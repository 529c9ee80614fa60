"""The server's side of an association: `association` has the table, `core` the data and methods it works on."""
