"""The server's side of an association: `association` has the table, `core` what it works on."""
