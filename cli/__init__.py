"""The kfn command, one command a file."""
