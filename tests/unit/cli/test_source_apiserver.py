"""`--resource` of `kfn source apiserver create`, as `kn` takes it."""

import pytest

from cli.failures import CliError
from cli.source_apiserver import _resource
from kfn.api.apiserversource import ApiVersionKindSelector
from kfn.api.shapes import Selector


def test_a_kind_its_version_and_labels() -> None:
    assert _resource("ConfigMap:v1") == ApiVersionKindSelector("v1", "ConfigMap")
    assert _resource("Deployment:apps/v1:app=shop,a.b/c=") == ApiVersionKindSelector(
        "apps/v1", "Deployment", Selector({"app": "shop", "a.b/c": ""})
    )


@pytest.mark.parametrize(("text", "said"), [("ConfigMap", "is not KIND:VERSION"), (":v1", "is not KIND:VERSION"), ("A:v1:x", "NAME=VALUE")])
def test_what_is_none_is_told_by_an_example(text: str, said: str) -> None:
    with pytest.raises(CliError, match=said):
        _resource(text)
