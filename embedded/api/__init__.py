"""The embedded Kubernetes API server: one REST dialect over SQLite, for the kinds kfn uses and no others."""
