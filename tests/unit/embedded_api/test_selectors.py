"""Selectors: labels as kubectl writes them, fields as each kind has them."""

import pytest

from embedded.api.selectors import parse
from embedded.api.status import StatusError

POD = {
    "metadata": {"name": "p", "namespace": "n", "labels": {"a": "1", "b": "2"}},
    "spec": {"nodeName": "here"},
    "status": {"phase": "Running"},
}


class TestLabels:
    @pytest.mark.parametrize(
        "text",
        [
            "a=1",
            "a==1",
            "a!=2",
            "a in (1,2)",
            "a in ( 1 , 2 ),b",
            "a notin (2)",
            "c notin (1)",
            "c!=1",
            "a",
            "!c",
            "a=1,b=2",
            "a,!c , b=2",
            "",
        ],
    )
    def test_it_matches(self, text):
        assert parse(text, "", "pods").matches(POD)

    @pytest.mark.parametrize("text", ["a=2", "a!=1", "a in (2,3)", "a notin (1)", "c", "!a", "a=1,b=3", "c=", "c in (1)"])
    def test_it_does_not_match(self, text):
        assert not parse(text, "", "pods").matches(POD)

    @pytest.mark.parametrize("text", ["a in 1", "a=1=2", "a b", "in (1)x", "a > 1"])
    def test_what_cannot_be_read_is_refused_by_name(self, text):
        with pytest.raises(StatusError, match="unable to parse requirement") as refused:
            parse(text, "", "pods")
        assert refused.value.code == 400


class TestFields:
    @pytest.mark.parametrize(
        "text", ["metadata.name=p", "metadata.namespace==n,status.phase!=Pending", "spec.nodeName=here", "status.podIP="]
    )
    def test_it_matches(self, text):
        assert parse("", text, "pods").matches(POD)

    def test_a_selected_name_makes_it_a_lookup(self):
        assert parse("", "metadata.name=p", "pods").name == "p"
        assert parse("", "metadata.name!=p", "pods").name == ""

    @pytest.mark.parametrize(
        ("text", "plural"), [("spec.image=x", "pods"), ("status.phase=x", "configmaps"), ("involvedObject.name=x", "pods")]
    )
    def test_a_field_the_kind_does_not_have_is_refused_by_name(self, text, plural):
        with pytest.raises(StatusError, match="field label not supported: " + text.split("=")[0]):
            parse("", text, plural)

    def test_events_are_found_by_the_object_they_are_about(self):
        event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}}
        assert parse("", "involvedObject.name=p,involvedObject.kind=Pod", "events").matches(event)
