"""Measurements of the dashboard, in the browser that a person would have: `make bench-web`."""
