"""What a rebuild takes from the image's own word: nothing that would run foreign code."""

import pytest

from builder.errors import NotVerified
from builder.supply.compare import configs, shown
from builder.supply.rebuild import _base

PINNED = "registry.example/team/base:1@sha256:" + "a" * 64


class TestABase:
    @pytest.mark.parametrize(
        ("own", "hints", "taken"),
        [
            ("", {}, ""),
            ("", {"base": "python3.13"}, "python3.13"),
            ("python", {"base": "python3.13"}, "python3.13"),
            ("registry.example/team/base:1", {"base": "registry.example/team/base:1", "baseReference": PINNED}, PINNED),
            ("registry.example/team/base:1", {"base": "registry.example/team/base:1"}, "registry.example/team/base:1"),
        ],
        ids=["none told", "one of kfn's", "one of kfn's by its exact name", "the source's own, pinned", "the source's own"],
    )
    def test_is_taken_if_the_source_could_have_asked_for_it(self, own: str, hints: dict[str, str], taken: str) -> None:
        assert _base(own, hints) == taken

    @pytest.mark.parametrize("own", ["", "python", "registry.example/other:1"])
    def test_of_somebody_else_is_not_run(self, own: str) -> None:
        with pytest.raises(NotVerified, match=r"if that is right give --base registry\.example/team/base:1"):
            _base(own, {"base": "registry.example/team/base:1", "baseReference": PINNED})


class TestDifferences:
    def test_name_the_keys_of_a_config(self) -> None:
        left = {"config": {"Env": ["A=1"], "User": "1"}, "rootfs": {"diff_ids": ["a"]}, "created": "x"}
        right = {"config": {"Env": ["A=2"], "User": "1", "Cmd": ["x"]}, "rootfs": {"diff_ids": ["b"]}, "created": "x"}
        assert configs(left, right) == (
            'config.Cmd: nothing in the image, ["x"] in the rebuild',
            'config.Env: ["A=1"] in the image, ["A=2"] in the rebuild',
        )

    def test_are_shown_up_to_twenty(self) -> None:
        text = shown(tuple(f"file{n}" for n in range(25)))
        assert "file19" in text
        assert "file20" not in text
        assert text.endswith("and 5 more")
