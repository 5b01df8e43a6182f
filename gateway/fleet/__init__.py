"""Several gateway processes behind one port: `workers` supervises, `worker` is one of them. docs/adr/0006 says why so."""
