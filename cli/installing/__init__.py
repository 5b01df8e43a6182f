"""Puts kfn on a cluster and takes it away again, with helm or without. `app.py` is the way; the rest decides or does one step each."""
