"""A Configuration: a template, and the Revisions that its changes have made."""
