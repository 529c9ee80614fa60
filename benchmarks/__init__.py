"""What is measured, how, and against what. `python -m benchmarks [NAME ...]` runs all or the named ones.

Each module here with a `main()` is a benchmark. It prints what it found and writes it to `results/` beside it, with the
machine's description: figures of different machines compare only by their ratio to the reference each takes along.
"""
