"""Measurements side by side with what others offer: `python -m benchmarks [name …]`."""
