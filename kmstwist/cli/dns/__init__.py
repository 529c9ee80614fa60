"""The verbs that speak DNS: dns, discover."""
