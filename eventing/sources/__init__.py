"""Sources: what makes events by itself and sends them to a sink."""
