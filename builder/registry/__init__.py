"""A client of OCI registries (distribution 1.1): where images come from and where they go. Read client.py first."""
