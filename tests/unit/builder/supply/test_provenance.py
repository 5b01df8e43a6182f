"""Provenance says what went in and how, and nothing of the machine."""

import json

from builder.components import Component
from builder.oci import Content, index
from builder.platform import Platform
from builder.sources.origin import Origin
from builder.supply.model import Described, Run
from builder.supply.provenance import provenance, without_times
from tests.unit.builder.supply.test_sbom import A, B, described

RUN = Run(
    "d" * 64,
    options={"base": "python3.13"},
    versions={"kfn": "1"},
    invocation="i",
    started="2026-01-01T00:00:00Z",
    finished="2026-01-01T00:00:01Z",
)
COMMIT = "c" * 40


def predicate(run: Run = RUN, *images: Described) -> dict[str, object]:
    given = images or (described(),)
    body = json.loads(provenance(given, given[0].image, run))
    assert body["_type"] == "https://in-toto.io/Statement/v1"
    assert body["predicateType"] == "https://slsa.dev/provenance/v1"
    return dict(body["predicate"])


class TestProvenance:
    def test_names_every_package_and_the_base_by_digest(self) -> None:
        found = {one.get("uri", one["name"]): one for one in predicate()["buildDefinition"]["resolvedDependencies"]}  # type: ignore[index]
        assert found["pkg:pypi/numpy@2.1.0"]["digest"] == {"sha256": A}
        assert found["pkg:pypi/odd@1"]["annotations"] == {"allowedSha256": [A, B]}
        assert found["pkg:deb/debian/libc6@2.41-12?arch=amd64"]["digest"] == {"sha256": B}
        assert found["base python3.13 for linux/amd64"]["digest"] == {"sha256": A}
        assert found["source"]["digest"] == {"sha256": "d" * 64}

    def test_names_a_clean_commit_and_does_not_call_a_changed_tree_one(self) -> None:
        clean = Origin("https://git.example/a.git", COMMIT, "main", "sub")
        source = predicate(Run("d" * 64, clean))["buildDefinition"]["externalParameters"]["source"]  # type: ignore[index]
        assert source["uri"] == f"git+https://git.example/a.git@{COMMIT}"
        assert source["digest"] == {"sha256": "d" * 64, "gitCommit": COMMIT}
        dirty = Origin("https://git.example/a.git", COMMIT, "main", dirty=True)
        source = predicate(Run("d" * 64, dirty))["buildDefinition"]["externalParameters"]["source"]  # type: ignore[index]
        assert "gitCommit" not in source["digest"]
        assert source["annotations"]["changedSince"] == COMMIT

    def test_speaks_of_the_index_and_of_every_image_in_it(self) -> None:
        amd = described()
        arm_image = Content(amd.image.data + b" ", amd.image.media_type, amd.image.blobs, platform=Platform("arm64"))
        arm = Described("default/hello", arm_image, (Component("pkg:pypi/numpy@2.1.0", "numpy", "2.1.0", (B,)),))
        whole = index((amd.image, arm_image), {})
        body = json.loads(provenance((amd, arm), whole, RUN))
        digests = {f"sha256:{one['digest']['sha256']}" for one in body["subject"]}
        assert digests == {whole.digest, amd.image.digest, arm_image.digest}

    def test_of_a_second_build_differs_only_in_its_times(self) -> None:
        later = Run("d" * 64, options={"base": "python3.13"}, versions={"kfn": "1"}, invocation="j", started="2027-01-01T00:00:00Z")
        one, two = (provenance((described(),), described().image, run) for run in (RUN, later))
        assert one != two
        assert without_times(one) == without_times(two)
        other = provenance((described(),), described().image, Run("e" * 64))
        assert without_times(one) != without_times(other)
