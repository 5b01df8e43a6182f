"""Garbage collection of Revisions that nothing uses."""
