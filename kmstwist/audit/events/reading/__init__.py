"""Reading events in every format that Windows and the tools around it write."""
