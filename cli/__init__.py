"""The kfn command, one command a file."""

VERSION = "0.1.0"
