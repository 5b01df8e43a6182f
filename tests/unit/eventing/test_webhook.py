"""What a signed request becomes."""

import pytest

from eventing.sources.webhook import Door, event, is_signed

DOOR = Door(
    "http://sink", b"It's a Secret to Everybody", "x-hub-signature-256", "t", "x-github-event", "x-github-delivery", "/s", {"team": "a"}
)
HELLO = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
NOW = "2026-01-31T10:00:00Z"


class TestTheSignature:
    def test_is_the_one_that_github_documents(self) -> None:
        assert is_signed(DOOR, {"x-hub-signature-256": HELLO}, b"Hello, World!")

    @pytest.mark.parametrize(
        "given", ["", "sha256=", HELLO[:-1], HELLO + "0", HELLO.upper(), HELLO[7:], "sha1=" + HELLO[7:], " " + HELLO, "ü"]
    )
    def test_is_refused_if_anything_of_it_differs(self, given: str) -> None:
        assert not is_signed(DOOR, {"x-hub-signature-256": given}, b"Hello, World!")

    def test_is_of_this_body_under_this_secret(self) -> None:
        assert not is_signed(DOOR, {"x-hub-signature-256": HELLO}, b"Hello, World?")
        assert not is_signed(DOOR, {}, b"Hello, World!")

    def test_and_the_secret_is_never_shown(self) -> None:
        assert "Secret" not in repr(DOOR)


class TestTheEvent:
    def test_has_what_the_headers_say(self) -> None:
        made = event(DOOR, {"x-github-event": "push", "x-github-delivery": "d-1", "content-type": "application/json"}, b"{}", NOW)
        assert made.attributes == {
            "specversion": "1.0", "id": "d-1", "source": "/s", "type": "t.push", "time": NOW, "team": "a",
            "datacontenttype": "application/json",
        }  # fmt: skip
        assert made.data == b"{}"

    def test_has_the_same_id_for_the_same_request_and_another_for_another(self) -> None:
        ids = [
            event(DOOR, headers, body, NOW).id for headers, body in (({}, b"a"), ({}, b"a"), ({}, b"b"), ({"x-github-event": "push"}, b"a"))
        ]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 3

    @pytest.mark.parametrize("wrong", ["", "a b", "\x00", "ü", "x" * 201])
    def test_takes_no_id_or_type_that_is_none(self, wrong: str) -> None:
        made = event(DOOR, {"x-github-event": wrong, "x-github-delivery": wrong}, b"a", NOW)
        assert (made.type, made.id[:7]) == ("t", "sha256-")

    @pytest.mark.parametrize("wrong", ["nonsense", "a/b\r\nx: y"])
    def test_leaves_out_a_content_type_that_is_none(self, wrong: str) -> None:
        assert "datacontenttype" not in event(DOOR, {"content-type": wrong}, b"a", NOW).attributes

    def test_of_an_empty_body_has_no_data(self) -> None:
        made = event(DOOR, {"content-type": "application/json"}, b"", NOW)
        assert (made.data, "datacontenttype" in made.attributes) == (None, False)
