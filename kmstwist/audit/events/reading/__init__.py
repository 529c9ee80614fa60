"""Reading events in every shape in which Windows and the tools around it write them."""
