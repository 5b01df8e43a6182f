"""One vocabulary of logs, metrics and traces."""
