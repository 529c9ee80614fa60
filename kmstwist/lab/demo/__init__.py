"""A demonstration: a lab, a gateway before it, its site, and a year of records made by the fleet with its real code."""
