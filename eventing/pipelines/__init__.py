"""Pipelines: runs of steps whose state survives a kill of anything at any moment."""
