"""A demonstration: a lab, a gateway in front of it, its site, and a year of records made by the fleet's real code."""
