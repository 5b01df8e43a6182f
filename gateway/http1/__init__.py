"""HTTP/1 on both sides of the gateway. `inbound` is a client's connection, `upstream` one to an instance; both are strict readers."""
