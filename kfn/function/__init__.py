"""What runs inside a function's process: standard library and httptools only. Read server.py first."""
