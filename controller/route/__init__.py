"""A Route: which Revision gets which share of a name's traffic, and the names themselves."""
