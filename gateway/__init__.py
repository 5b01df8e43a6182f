"""The data plane: one request, top to bottom. Read app.py first."""
