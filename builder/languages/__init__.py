"""The languages that kfn builds, one file each. `choose.py` finds the one that a project needs."""
