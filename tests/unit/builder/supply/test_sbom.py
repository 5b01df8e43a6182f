"""SBOMs: valid by the formats' own rules, and the same bytes for the same image."""

import json
import random
import warnings

import pytest

from builder.components import Component
from builder.oci import LAYER_TAR, Layer, blob, canonical, image
from builder.platform import Platform
from builder.supply.licences import expression, licence
from builder.supply.model import Described
from builder.supply.sbom import cyclonedx, spdx

A, B = "a" * 64, "b" * 64
PARTS = (
    Component("pkg:pypi/numpy@2.1.0", "numpy", "2.1.0", (A,), ("BSD-3-Clause AND MIT",)),
    Component("pkg:pypi/odd@1", "odd", "1", (A, B), ("Our own licence, see LICENSE",)),
    Component("pkg:npm/left-pad@1.3.0", "left-pad", "1.3.0", hashes=(f"sha512:{'c' * 128}",), licenses=("WTFPL",)),
    Component("pkg:golang/std@1.26", "std", "1.26", sums=(("go:h1", "h1:xyz="),)),
)
SYSTEM = (
    Component(
        "pkg:deb/debian/libc6@2.41-12?arch=amd64", "libc6", "2.41-12", (B,), ("GPL-2", "LGPL-2.1+"), "GNU Libc Maintainers", "glibc 2.41"
    ),
)


def described(parts: tuple[Component, ...] = PARTS, **given: object) -> Described:
    layer = blob(b"a layer", LAYER_TAR)
    config = canonical({"architecture": "amd64", "os": "linux"})
    made = image(config, (Layer(layer.digest, layer.digest, layer.size, LAYER_TAR, "source"),), (layer,), Platform("amd64"), {})
    values = {"components": parts, "base": "python3.13", "base_digest": f"sha256:{A}", "base_components": SYSTEM, "runtime": f"sha256:{B}"}
    return Described("default/hello", made, **{**values, **given})  # type: ignore[arg-type]


class TestCycloneDx:
    @pytest.mark.parametrize(
        "one",
        [
            described(),
            described(()),
            described(base="", base_digest="", base_components=()),
            described(base_reference="registry.example:5000/team/base:1"),
        ],
        ids=["with everything", "without packages", "without a base", "on an image from a registry"],
    )
    def test_is_valid_by_its_schema(self, one: Described) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the validator's own libraries warn of
            from cyclonedx.schema import SchemaVersion
            from cyclonedx.validation.json import JsonStrictValidator

            problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(cyclonedx(one).decode())
        assert problem is None

    def test_is_the_same_bytes_whatever_the_order_in_which_packages_come(self) -> None:
        shuffled = [*PARTS, PARTS[0]]
        random.Random(1).shuffle(shuffled)
        assert cyclonedx(described(tuple(shuffled))) == cyclonedx(described())

    def test_has_no_time_and_is_named_by_the_image(self) -> None:
        body = json.loads(cyclonedx(described()))
        assert "timestamp" not in body["metadata"]
        other = described()
        assert body["serialNumber"] == json.loads(cyclonedx(other))["serialNumber"]
        assert body["metadata"]["component"]["version"] == other.image.digest

    def test_reaches_every_component_from_the_function(self) -> None:
        body = json.loads(cyclonedx(described()))
        graph = {one["ref"]: one.get("dependsOn", []) for one in body["dependencies"]}
        seen, todo = set[str](), [body["metadata"]["component"]["bom-ref"]]
        while todo:
            ref = todo.pop()
            if ref not in seen:
                seen.add(ref)
                todo += graph[ref]
        assert seen >= {one["bom-ref"] for one in body["components"]}

    def test_calls_a_hash_the_components_own_only_where_one_file_was_allowed(self) -> None:
        found = {one["name"]: one for one in json.loads(cyclonedx(described()))["components"]}
        assert found["numpy"]["hashes"] == [{"alg": "SHA-256", "content": A}]
        assert "hashes" not in found["odd"]
        assert [p["value"] for p in found["odd"]["properties"]] == [A, B]
        assert found["left-pad"]["hashes"][0]["alg"] == "SHA-512"

    def test_puts_each_licence_where_it_belongs(self) -> None:
        found = {one["name"]: one.get("licenses") for one in json.loads(cyclonedx(described()))["components"]}
        assert found["numpy"] == [{"expression": "BSD-3-Clause AND MIT"}]
        assert found["odd"] == [{"license": {"name": "Our own licence, see LICENSE"}}]
        assert found["left-pad"] == [{"license": {"id": "WTFPL"}}]
        assert found["libc6"] == [{"license": {"id": "GPL-2.0-only"}}, {"license": {"id": "LGPL-2.1-or-later"}}]


class TestSpdx:
    def test_has_what_the_format_demands_of_every_package(self) -> None:
        body = json.loads(spdx(described()))
        assert (body["spdxVersion"], body["dataLicense"], body["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
        assert body["creationInfo"] == {"created": "1970-01-01T00:00:00Z", "creators": body["creationInfo"]["creators"]}
        for package in body["packages"]:
            assert {"SPDXID", "name", "downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText"} <= package.keys()
        names = {one["SPDXID"] for one in body["packages"]}
        assert len(names) == len(body["packages"])
        for one in body["relationships"]:
            assert {one["spdxElementId"], one["relatedSpdxElement"]} <= names | {"SPDXRef-DOCUMENT"}

    def test_is_the_same_bytes_whatever_the_order_in_which_packages_come(self) -> None:
        assert spdx(described(PARTS[::-1])) == spdx(described())

    def test_declares_an_expression_or_nothing(self) -> None:
        found = {one["name"]: one for one in json.loads(spdx(described()))["packages"]}
        assert found["numpy"]["licenseDeclared"] == "BSD-3-Clause AND MIT"
        assert found["odd"]["licenseDeclared"] == "NOASSERTION"
        assert found["odd"]["licenseComments"] == "Our own licence, see LICENSE"
        assert found["libc6"]["licenseDeclared"] == "GPL-2.0-only AND LGPL-2.1-or-later"


class TestALicence:
    @pytest.mark.parametrize(
        ("text", "spdx_text"),
        [
            ("mit or apache-2.0", "MIT OR Apache-2.0"),
            ("(MIT OR Apache-2.0) AND ISC", "(MIT OR Apache-2.0) AND ISC"),
            ("GPL-2.0-or-later WITH Classpath-exception-2.0", "GPL-2.0-or-later WITH Classpath-exception-2.0"),
            ("MPL-1.1+", "MPL-1.1+"),
            ("MIT AND Nobodys-1.0", ""),
            ("MIT OR", ""),
            ("(MIT", ""),
            ("MIT ISC", ""),
            ("MIT, ISC", ""),
            ("MIT WITH", ""),
            ("", ""),
            ("(" * 5000, ""),
        ],
        ids=lambda text: text[:30] or "nothing",
    )
    def test_is_an_expression_only_if_spdx_knows_every_word(self, text: str, spdx_text: str) -> None:
        assert expression(text) == spdx_text

    def test_of_old_metadata_gets_its_identifier(self) -> None:
        assert licence("  MIT   License ").id == "MIT"
        assert licence("apache-2.0").id == "Apache-2.0"
        assert licence("Proprietary").name == "Proprietary"

    def test_identifiers_are_spdxs(self) -> None:
        from importlib.resources import files

        from builder.supply.licences import KNOWN

        listed = json.loads((files("cyclonedx.schema") / "_res" / "spdx.SNAPSHOT.schema.json").read_text())["enum"]
        assert set(listed) >= KNOWN
