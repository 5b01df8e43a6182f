"""Leased slots: how `containerConcurrency` holds over all gateways that share instances. docs/adr/0005 says why so; read `ledger` first."""
