"""Calls the handler as the platform does. Run with: python -m pytest"""

from func import handle

import kfn


def test_it_greets_by_name() -> None:
    assert handle(kfn.Request("GET", "/?name=Ada"))["hello"] == "Ada"


def test_it_greets_the_world_without_a_name() -> None:
    assert handle(kfn.Request())["hello"] == "world"
