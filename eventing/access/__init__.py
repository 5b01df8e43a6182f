"""Who else may speak NATS: an account for each namespace, and credentials for functions that ask for them."""
