"""Go: the toolchain on this machine, what func's template needs around it, and what a Go program says of how it was made."""
