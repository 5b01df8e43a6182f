"""The real Go toolchain in tests: without a network, and with one cache of compiled packages for all of them."""

from pathlib import Path

import pytest


def offline(monkeypatch: pytest.MonkeyPatch, factory: pytest.TempPathFactory) -> None:
    """Or each test would compile the standard library anew, which takes half a minute. The cache lasts from run to run."""
    monkeypatch.setenv("GOCACHE", str(cache(factory)))
    monkeypatch.setenv("GOPATH", str(factory.getbasetemp() / "gopath"))
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    monkeypatch.setenv("GOFLAGS", "-modcacherw")


def cache(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return next((parent for parent in base.parents if parent.name.startswith("pytest-of-")), base.parent) / "kfn-go-cache"
