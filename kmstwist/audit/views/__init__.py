"""What the status site shows of the audit: read-only queries that answer for one page at a time.

They stand beside the reports: a report is asked for whole, a view for as many rows as a page has, in any order. All
block, and are called in a thread. Times are milliseconds since 1970 in the store, `datetime` in UTC in what is given.
"""
