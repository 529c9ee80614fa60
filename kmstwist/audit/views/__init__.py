"""The audit's queries for the status site: read-only, one page at a time.

They complement the reports: a report is read whole, a view gives as many rows as a page has, in any order. All block,
and are called in a thread. Times are milliseconds since 1970 in the store, and `datetime` in UTC in the results.
"""
