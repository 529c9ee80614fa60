"""Doctor's checks: what is wrong here, each finding with its cure."""
