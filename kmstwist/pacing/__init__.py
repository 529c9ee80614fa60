"""How often, how long and how much: waits, token buckets, deadlines, bounded mappings."""
