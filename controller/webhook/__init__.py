"""The admission webhook: a cluster's API server asks it about every object of kfn's kinds that somebody writes. Read `app` first."""
