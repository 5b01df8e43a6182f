import pytest

from builder.errors import ImageNotFound
from builder.reference import Reference, image_name, parse

DIGEST = "sha256:" + "a" * 64


def test_a_reference_survives_parsing() -> None:
    text = f"{image_name('default', 'hello')}@{DIGEST}"
    assert str(parse(text)) == text
    assert parse("kfn.local/default/hello") == Reference("kfn.local/default/hello")


@pytest.mark.parametrize("text", ["", "kfn.local/Default/x", "kfn.local/a@sha256:12", "kfn.local/../x", f"kfn.local/a@{DIGEST[:-1]}g"])
def test_what_is_not_a_reference_is_refused_by_name(text: str) -> None:
    with pytest.raises(ImageNotFound, match=r"no such image"):
        parse(text)
