"""Signed Debian packages, chosen and fetched in pure Python, for any architecture and without root. Read `app.py` first."""
