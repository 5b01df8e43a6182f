"""Builds in a cluster: a Build object becomes a Job without privileges, which runs this package's `runner` and tells its result."""
