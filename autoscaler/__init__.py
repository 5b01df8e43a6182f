"""From load to replicas. decide.py is the heart and is pure."""
