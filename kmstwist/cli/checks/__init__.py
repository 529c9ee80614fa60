"""The verbs that check: doctor, probe."""
