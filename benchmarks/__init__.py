"""What is measured, how, and against what; results of the last run are in `results/`."""
