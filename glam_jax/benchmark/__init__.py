"""Benchmarks: how fast each part runs here, and how close that is to what the machine can do."""
