"""Patches: merge, JSON patch and strategic merge, each by its own rules."""

import copy

import pytest

from embedded.api import patch, strategic
from embedded.api.status import StatusError

# The examples of RFC 7386, appendix A.
RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


class TestMerge:
    @pytest.mark.parametrize(("target", "change", "result"), RFC_7386)
    def test_it_does_what_the_rfc_says_and_changes_neither_argument(self, target, change, result):
        before = copy.deepcopy((target, change))
        assert patch.merge(target, change) == result
        assert (target, change) == before


class TestJsonPatch:
    @pytest.mark.parametrize(
        ("operations", "result"),
        [
            ([{"op": "add", "path": "/l/0", "value": 0}], {"l": [0, 1, 2], "m": {"k": "v"}}),
            ([{"op": "add", "path": "/l/-", "value": 3}], {"l": [1, 2, 3], "m": {"k": "v"}}),
            ([{"op": "remove", "path": "/l/0"}], {"l": [2], "m": {"k": "v"}}),
            ([{"op": "replace", "path": "/l/1", "value": 9}], {"l": [1, 9], "m": {"k": "v"}}),
            ([{"op": "move", "from": "/m/k", "path": "/k"}], {"l": [1, 2], "m": {}, "k": "v"}),
            ([{"op": "copy", "from": "/l", "path": "/m/l"}], {"l": [1, 2], "m": {"k": "v", "l": [1, 2]}}),
            ([{"op": "test", "path": "/m/k", "value": "v"}, {"op": "add", "path": "/a~1b~0", "value": 1}],
             {"l": [1, 2], "m": {"k": "v"}, "a/b~": 1}),
            ([{"op": "replace", "path": "", "value": {}}], {}),
        ],
    )  # fmt: skip
    def test_an_operation(self, operations, result):
        target = {"l": [1, 2], "m": {"k": "v"}}
        assert patch.json_patch(target, operations) == result
        assert target == {"l": [1, 2], "m": {"k": "v"}}

    @pytest.mark.parametrize(
        ("operations", "code"),
        [
            ({"op": "add"}, 400),
            (["x"], 400),
            ([{"op": "grow", "path": "/a"}], 400),
            ([{"op": "add", "path": "/a"}], 400),
            ([{"op": "add", "path": "a", "value": 1}], 400),
            ([{"op": "remove", "path": "/nope"}], 422),
            ([{"op": "replace", "path": "/nope", "value": 1}], 422),
            ([{"op": "add", "path": "/l/7", "value": 1}], 422),
            ([{"op": "add", "path": "/s/x", "value": 1}], 422),
            ([{"op": "test", "path": "/s", "value": "other"}], 422),
            ([{"op": "remove", "path": ""}], 422),
        ],
    )
    def test_what_is_malformed_is_400_and_what_does_not_fit_is_422(self, operations, code):
        with pytest.raises(StatusError) as refused:
            patch.json_patch({"l": [1], "s": "text"}, operations)
        assert refused.value.code == code


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


class TestStrategic:
    def test_containers_and_their_environment_merge_by_name(self):
        old = pod({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}, {"name": "b"})
        change = pod({"name": "a", "image": "2", "env": [{"name": "Y", "value": "3"}, {"name": "Z", "value": "4"}]})
        env = [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}, {"name": "Z", "value": "4"}]
        assert strategic.merge(old, change) == pod({"name": "a", "image": "2", "env": env}, {"name": "b"})

    def test_the_same_inside_a_pod_template(self):
        old = {"spec": {"template": pod({"name": "a", "image": "1"}, {"name": "b"})}}
        result = strategic.merge(old, {"spec": {"template": pod({"name": "b", "image": "2"})}})
        assert result["spec"]["template"] == pod({"name": "a", "image": "1"}, {"name": "b", "image": "2"})

    def test_conditions_merge_by_type_and_other_lists_are_replaced(self):
        old = {
            "status": {"conditions": [{"type": "A", "status": "True"}]},
            "spec": {"tolerations": [1], "containers": [{"name": "a", "args": ["x", "y"]}]},
        }
        change = {
            "status": {"conditions": [{"type": "B", "status": "False"}]},
            "spec": {"tolerations": [2], "containers": [{"name": "a", "args": ["z"]}]},
        }
        result = strategic.merge(old, change)
        assert [c["type"] for c in result["status"]["conditions"]] == ["A", "B"]
        assert result["spec"] == {"tolerations": [2], "containers": [{"name": "a", "args": ["z"]}]}

    def test_an_item_is_deleted_or_the_list_replaced_by_directive(self):
        old = pod({"name": "a"}, {"name": "b"})
        assert strategic.merge(old, pod({"name": "a", "$patch": "delete"})) == pod({"name": "b"})
        assert strategic.merge(old, pod({"$patch": "replace"}, {"name": "c"})) == pod({"name": "c"})
        assert strategic.merge({"m": {"a": 1}}, {"m": {"$patch": "replace", "b": 2}}) == {"m": {"b": 2}}
        assert strategic.merge({"m": {"a": 1}}, {"m": {"$patch": "delete"}}) == {"m": {}}

    def test_order_retained_keys_and_primitive_lists(self):
        change = pod({"name": "c"}, **{"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]})
        assert [c["name"] for c in strategic.merge(pod({"name": "a"}), change)["spec"]["containers"]] == ["c", "a"]
        strategy = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
        assert strategic.merge({"strategy": {"rollingUpdate": {}, "type": "x"}}, strategy) == {"strategy": {"type": "Recreate"}}
        meta = {"metadata": {"finalizers": ["a", "b"]}}
        assert strategic.merge(meta, {"metadata": {"finalizers": ["c", "a"]}})["metadata"]["finalizers"] == ["a", "b", "c"]
        assert strategic.merge(meta, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}})["metadata"]["finalizers"] == ["b"]

    def test_null_deletes_and_the_arguments_stay_as_they_are(self):
        old, change = pod({"name": "a", "image": "1"}, x=1), pod({"name": "a", "image": None}, x=None)
        before = copy.deepcopy((old, change))
        assert strategic.merge(old, change) == pod({"name": "a"})
        assert (old, change) == before

    @pytest.mark.parametrize("change", [pod({"image": "x"}), pod("x"), {"spec": {"$patch": "shred"}}])
    def test_what_makes_no_sense_is_400(self, change):
        with pytest.raises(StatusError) as refused:
            strategic.merge(pod({"name": "a"}), change)
        assert refused.value.code == 400
