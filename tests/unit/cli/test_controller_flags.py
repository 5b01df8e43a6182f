"""Variables that `kfn controller` hands to Builds."""

import pytest

from cli.controller import _variables
from cli.failures import CliError


class TestVariablesOfBuilds:
    def test_are_names_and_values_which_may_hold_the_sign_again(self) -> None:
        assert _variables(("KFN_DEBIAN_MIRROR=https://mirror.example/debian", "A=b=c")) == (
            ("KFN_DEBIAN_MIRROR", "https://mirror.example/debian"), ("A", "b=c"),
        )  # fmt: skip

    @pytest.mark.parametrize("text", ["KFN_DEBIAN_MIRROR", "=x", "a-b=c"])
    def test_that_are_none_are_refused_with_the_form(self, text: str) -> None:
        with pytest.raises(CliError, match="write NAME=VALUE"):
            _variables((text,))
