"""Who gets problem+json for a refusal, and who a line of text."""

import pytest

from gateway.accept import wants_json

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        pytest.param(b"application/json", True, id="json"),
        pytest.param(b"application/problem+json", True, id="problem-json"),
        pytest.param(b"APPLICATION/JSON; charset=utf-8", True, id="any-case-and-parameters"),
        pytest.param(b"application/*", True, id="the-family"),
        pytest.param(b"text/html, application/json;q=0.9, */*;q=0.1", True, id="json-beside-what-there-is-not"),
        pytest.param(b"text/plain, application/json", True, id="json-as-much-as-text"),
        pytest.param(b"application/json, text/plain, */*", True, id="axios"),
        pytest.param(b"application/problem+json;q=0.2, text/plain;q=0.1", True, id="a-little-but-more"),
        pytest.param(b"*/*", False, id="curl"),
        pytest.param(b"", False, id="none"),
        pytest.param(BROWSER, False, id="a-browser"),
        pytest.param(b"application/json;q=0", False, id="explicitly-not"),
        pytest.param(b"application/json;q=0.0, application/*", True, id="not-this-one-but-its-family-has-problem-json"),
        pytest.param(b"application/problem+json;q=0, application/json", False, id="not-as-a-problem"),
        pytest.param(b"application/*;q=0, */*", False, id="not-the-family"),
        pytest.param(b"text/plain, application/json;q=0.5", False, id="text-rather"),
        pytest.param(b"text/*, application/json;q=0.5", False, id="any-text-rather"),
        pytest.param(b"application/xml", False, id="another-type-of-the-family"),
        pytest.param(b"application/jsonp, text/x-json", False, id="names-that-only-look-like-it"),
        pytest.param(b"application/json;q=much", False, id="a-quality-that-is-none"),
        pytest.param(b"application/json;q=nan", False, id="nor-this"),
        pytest.param(b",,;q=1,;", False, id="nonsense"),
    ],
)
def test_a_client_that_names_json_gets_json(accept: bytes, json: bool) -> None:
    assert wants_json(accept) is json
