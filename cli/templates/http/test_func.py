"""Calls the handler as the platform does. Run with: python -m pytest"""

from func import handle

import kfn


def test_it_greets_by_the_name_in_the_query() -> None:
    assert handle(kfn.Request("GET", "/?name=Ada"))["hello"] == "Ada"


def test_it_greets_by_the_name_in_a_json_body() -> None:
    assert handle(kfn.Request("POST", "/", body=b'{"name": "Ada"}'))["hello"] == "Ada"


def test_it_greets_the_world_without_a_name() -> None:
    assert handle(kfn.Request())["hello"] == "world"
