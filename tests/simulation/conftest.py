"""Simulations run in virtual time, as unit tests do."""

from tests.unit.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
