"""The patch between two JSON values, applied by the embedded API server's own patching, gives the second."""

import random
from typing import Any

import pytest

from controller.webhook.jsonpatch import difference
from embedded.api.patch import json_patch


class TestDifference:
    @pytest.mark.parametrize(
        ("old", "new", "steps"),
        [
            pytest.param({"a": 1}, {"a": 1}, [], id="the same"),
            pytest.param({"a": 1}, {"a": 2}, [{"op": "replace", "path": "/a", "value": 2}], id="changed"),
            pytest.param({}, {"a": {}}, [{"op": "add", "path": "/a", "value": {}}], id="added"),
            pytest.param({"a": None}, {}, [{"op": "remove", "path": "/a"}], id="taken away"),
            pytest.param({"a": [1, {"b": 1}]}, {"a": [1, {"b": 2}]}, [{"op": "replace", "path": "/a/1/b", "value": 2}], id="in a list"),
            pytest.param({"a": [1]}, {"a": [1, 2]}, [{"op": "replace", "path": "/a", "value": [1, 2]}], id="a longer list"),
            pytest.param({"a/b~c": 1}, {"a/b~c": 2}, [{"op": "replace", "path": "/a~1b~0c", "value": 2}], id="a name with a slash"),
            pytest.param({"a": 1}, {"a": True}, [{"op": "replace", "path": "/a", "value": True}], id="true is not 1"),
        ],
    )
    def test_each_step_is_the_smallest(self, old: Any, new: Any, steps: list[Any]) -> None:
        assert difference(old, new) == steps

    def test_any_two_objects(self) -> None:
        for seed in range(500):
            draw = random.Random(seed)
            old, new = ({"root": _value(draw, 4)} for _ in range(2))
            steps = difference(old, new)
            assert (json_patch(old, steps) if steps else old) == new, seed


def _value(draw: random.Random, depth: int) -> Any:
    match draw.randrange(7 if depth else 4):
        case 0:
            return draw.choice((0, 1, 2.5))
        case 1:
            return draw.choice(("", "a", "b"))
        case 2:
            return draw.choice((True, False))
        case 3:
            return None
        case 4 | 5:
            return {draw.choice(("a", "b", "c/d", "e~f", "")): _value(draw, depth - 1) for _ in range(draw.randrange(4))}
    return [_value(draw, depth - 1) for _ in range(draw.randrange(3))]
