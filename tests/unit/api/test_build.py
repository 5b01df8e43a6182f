"""Build: what can be asked for, what is refused with the field, and that nothing changes later but `cancel`."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from kfn.api import kinds, tables
from kfn.api.admission import admit
from kfn.api.base import Json
from kfn.api.crd import crd
from kfn.api.errors import Invalid

ARTIFACT = "registry.example:5000/team/hello@sha256:" + "a" * 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def build(source: Json | None = None, **spec: Any) -> Json:
    return {
        "apiVersion": "kfn.dev/v1alpha1",
        "kind": "Build",
        "metadata": {"name": "hello-1", "namespace": "default"},
        "spec": {"source": source or {"artifact": ARTIFACT}, "image": {"repository": "registry.example:5000/team/hello"}, **spec},
    }


def refused(new: Json, old: Json | None = None) -> dict[str, str]:
    with pytest.raises(Invalid) as info:
        admit(kinds.BUILD, "UPDATE" if old else "CREATE", new, old, "ann")
    return {e.path: e.message for e in info.value.errors}


def git(url: str, **fields: str) -> Json:
    return {"git": {"url": url, **fields}}


class TestWhatCanBeAskedFor:
    def test_a_timeout_of_ten_minutes_is_the_default(self) -> None:
        assert admit(kinds.BUILD, "CREATE", build(), None, "ann")["spec"]["timeoutSeconds"] == 600

    @pytest.mark.parametrize(
        "source",
        [
            git("https://git.example/team/hello.git", ref="v1.2", subdir="functions/hello"),
            git("git@git.example:team/hello.git"),
            git("ssh://git@git.example/team/hello"),
            {"inline": {"func.py": "def handle(): ...", "lib/util.py": ""}},
        ],
    )
    def test_every_kind_of_source_is_taken(self, source: Json) -> None:
        assert admit(kinds.BUILD, "CREATE", build(source), None, "ann")

    @pytest.mark.parametrize(
        ("new", "path"),
        [
            (build({"artifact": ARTIFACT, "inline": {"a.py": ""}}), "spec.source"),
            (build({"artifact": ""}), "spec.source"),
            (build({"artifact": "registry.example/hello:latest"}), "spec.source.artifact"),
            (build(git("file:///etc")), "spec.source.git.url"),
            (build(git("ext::sh -c id")), "spec.source.git.url"),
            (build(git("--upload-pack=id")), "spec.source.git.url"),
            (build(git("https://user:secret@git.example/x")), "spec.source.git.url"),
            (build(git("https://git.example/x", ref="--output=x")), "spec.source.git.ref"),
            (build(git("https://git.example/x", subdir="../x")), "spec.source.git.subdir"),
            (build({"inline": {"../x.py": ""}}), "spec.source.inline[../x.py]"),
            (build({"inline": {"x.py": "x" * 70000}}), "spec.source.inline"),
            (build(image={"repository": ""}), "spec.image.repository"),
            (build(image={"repository": "registry.example/Hello"}), "spec.image.repository"),
            (build(image={"repository": "registry.example/hello:1"}), "spec.image.repository"),
            (build(image={"repository": "registry.example/hello", "tags": ["a b"]}), "spec.image.tags[0]"),
            (build(platforms=["linux/s390x"]), "spec.platforms[0]"),
            (build(options={"compression": "xz"}), "spec.options.compression"),
            (build(options={"registryCache": "Cache"}), "spec.options.registryCache"),
            (build(timeoutSeconds=-1), "spec.timeoutSeconds"),
            (build(timeoutSeconds=10**6), "spec.timeoutSeconds"),
            (build(pushSecret="No Secret"), "spec.pushSecret"),
            (build(resources={"limits": {"memory": "much"}}), "spec.resources.limits.memory"),
            (build(imag="x"), "spec.imag"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_wrong_is_named_by_its_field(self, new: Json, path: str) -> None:
        assert list(refused(new)) == [path]

    def test_a_password_in_a_url_is_not_repeated(self) -> None:
        assert "secret" not in str(refused(build(git("https://user:secret@git.example/x"))))
        assert "secret" not in str(refused(build(git("ftp://user:secret@git.example/x"))))

    def test_a_name_from_which_no_jobs_name_can_be_made_is_refused(self) -> None:
        new = build()
        new["metadata"]["name"] = "a" * 51
        assert list(refused(new)) == ["metadata.name"]


class TestNothingChangesLater:
    def test_a_build_can_be_cancelled_once(self) -> None:
        old = admit(kinds.BUILD, "CREATE", build(), None, "ann")
        cancelled = admit(kinds.BUILD, "UPDATE", build(cancel=True), old, "ann")
        assert list(refused(build(cancel=False), cancelled)) == ["spec.cancel"]

    def test_anything_else_is_immutable(self) -> None:
        old = admit(kinds.BUILD, "CREATE", build(), None, "ann")
        new = copy.deepcopy(build(base="static", timeoutSeconds=5, cancel=True))
        assert sorted(refused(new, old)) == ["spec.base", "spec.timeoutSeconds"]


class TestHowItIsShown:
    def test_kubectl_shows_the_image_whether_it_succeeded_and_why_not(self) -> None:
        obj = build() | {"status": {"conditions": [{"type": "Succeeded", "status": "False", "reason": "Timeout"}]}}
        shown = dict(zip([c["name"] for c in tables.columns(kinds.BUILD)], tables.row(kinds.BUILD, obj, NOW), strict=True))
        assert (shown["Image"], shown["Succeeded"], shown["Reason"]) == ("registry.example:5000/team/hello", "False", "Timeout")

    def test_the_crd_is_generated_with_its_status_subresource(self) -> None:
        version = crd(kinds.BUILD)["spec"]["versions"][0]
        assert version["subresources"] == {"status": {}}
        assert {c["name"] for c in version["additionalPrinterColumns"]} >= {"Image", "Succeeded", "Reason"}
