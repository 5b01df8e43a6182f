"""What runs inside a function's process: the HTTP server, the handler kinds, CloudEvents. Standard library and httptools only."""
