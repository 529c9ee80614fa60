"""What a Windows client does with DNS, and the commands that set one up."""
