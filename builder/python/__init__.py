"""What makes layers of a Python function: its bytecode, its dependencies, kfn's own runtime."""
