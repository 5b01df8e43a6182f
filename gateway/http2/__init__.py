"""HTTP/2 on both sides of the gateway. The `h2` library keeps the protocol; here are windows, floods, and what the heads mean."""
