"""An image's bill of materials as CycloneDX 1.6 or SPDX 2.3 JSON. The same image gives the same bytes: no time, no machine in it. Pure.

A component whose lock allows one file has that file's hash. Where several are allowed (a wheel for each platform), none of them is
the component's own, so they are listed as what was allowed.
"""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

from builder.components import Component
from builder.oci import EPOCH, canonical
from builder.supply.licences import licence, together
from builder.supply.model import Described, oci_purl
from kfn.version import VERSION

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://kfn.dev/sbom")
_ALGORITHMS = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
_ALLOWED = "dev.kfn.allowed.sha256"
_SOURCE = "dev.kfn.source-package"


def sbom(described: Described, form: str) -> bytes:
    """`form` is `cyclonedx` or `spdx`."""
    return FORMS[form](described)


def cyclonedx(described: Described) -> bytes:
    """CycloneDX 1.6."""
    own = _unique(described.components)
    base = [one for one in _unique(described.base_components) if one.purl not in {c.purl for c in own}]
    function, runtime, beneath = _function(described), _runtime(described), _base(described)
    made = [one for one in (runtime, beneath) if one]
    refs = [one["bom-ref"] for one in made] + [one.purl for one in own] + ([] if beneath else [one.purl for one in base])
    depends = [{"ref": function["bom-ref"], "dependsOn": sorted(set(refs))}]
    if beneath:
        function["pedigree"] = {"ancestors": [{key: value for key, value in beneath.items() if key != "bom-ref"}]}
        depends.append({"ref": beneath["bom-ref"], "dependsOn": [one.purl for one in base]})
    depends += [{"ref": runtime["bom-ref"]}] if runtime else []
    depends += [{"ref": one.purl} for one in (*own, *base)]
    return canonical(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{serial(described.image.digest)}",
            "version": 1,
            "metadata": {
                "component": function,
                "lifecycles": [{"phase": "build"}],
                "tools": {"components": [{"type": "application", "name": "kfn", "version": VERSION}]},
            },
            "components": sorted([*made, *(_component(one) for one in (*own, *base))], key=lambda one: str(one["bom-ref"])),
            "dependencies": sorted(depends, key=lambda one: str(one["ref"])),
        }
    )


def spdx(described: Described) -> bytes:
    """SPDX 2.3. It must have a time, which is the epoch, as the image's."""
    components = _unique((*described.components, *described.base_components))
    image = {
        **_spdx_package(described.name, described.image.digest, _purl(described)),
        "SPDXID": "SPDXRef-Image",
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": _hex(described.image.digest)}],
    }
    packages = [_spdx_component(one) for one in components]
    if _runtime(described):
        packages.append(_spdx_package("kfn runtime", VERSION, f"pkg:generic/kfn-runtime@{VERSION}"))
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")] + [("SPDXRef-Image", "CONTAINS", one["SPDXID"]) for one in packages]
    if beneath := _base(described):
        base = _spdx_package(beneath["name"], beneath["version"], beneath["purl"])
        packages.append(base)
        relations.append(("SPDXRef-Image", "DESCENDANT_OF", base["SPDXID"]))
    return canonical(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"{described.name}@{described.image.digest}",
            "documentNamespace": f"https://kfn.dev/spdx/{serial(described.image.digest)}",
            "creationInfo": {"created": EPOCH, "creators": [f"Tool: kfn-{VERSION}"]},
            "packages": [image, *sorted(packages, key=lambda one: str(one["SPDXID"]))],
            "relationships": [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b} for a, kind, b in sorted(relations)],
        }
    )


def serial(digest: str) -> uuid.UUID:
    """The document's name: of the image alone."""
    return uuid.uuid5(NAMESPACE, digest)


FORMS: dict[str, Callable[[Described], bytes]] = {"cyclonedx": cyclonedx, "spdx": spdx}


def _function(described: Described) -> dict[str, Any]:
    purl = _purl(described)
    return {
        "type": "container",
        "bom-ref": purl,
        "name": described.name,
        "version": described.image.digest,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": _hex(described.image.digest)}],
        "properties": [{"name": "dev.kfn.platform", "value": str(described.platform)}],
    }


def _purl(described: Described) -> str:
    return oci_purl(described.name, described.image.digest, described.platform)


def _runtime(described: Described) -> dict[str, Any] | None:
    if not described.runtime or any(one.name == "kfn" for one in described.components):
        return None  # or the language lists it, with what it brings along
    purl = f"pkg:generic/kfn-runtime@{VERSION}"
    return {
        "type": "framework",
        "bom-ref": purl,
        "name": "kfn runtime",
        "version": VERSION,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": _hex(described.runtime)}],
    }


def _base(described: Described) -> dict[str, Any] | None:
    """What the image stands on: an image with a name, or one that kfn composed."""
    if not described.base_digest:
        return None
    reference = described.base_reference.partition("@")[0]
    named = oci_purl(reference, described.base_digest, described.platform) if reference else ""
    purl = (
        named or f"pkg:generic/kfn-base-{described.base}@{described.base_digest.replace(':', '%3A')}?arch={described.platform.architecture}"
    )
    return {
        "type": "container",
        "bom-ref": purl,
        "name": reference or described.base,
        "version": described.base_digest,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": _hex(described.base_digest)}],
    }


def _component(one: Component) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "library", "bom-ref": one.purl, "name": one.name, "version": one.version, "purl": one.purl}
    if hashes := _hashes(one):
        made["hashes"] = [{"alg": _ALGORITHMS[name], "content": text} for name, text in hashes]
    if one.licenses:
        made["licenses"] = _licenses(one.licenses)
    if one.supplier:
        made["supplier"] = {"name": one.supplier}
    properties = [{"name": _ALLOWED, "value": text} for text in (sorted(set(one.sha256)) if len(set(one.sha256)) > 1 else ())]
    properties += [{"name": f"dev.kfn.sum.{name}", "value": value} for name, value in one.sums]
    properties += [{"name": _SOURCE, "value": one.source}] if one.source else []
    if properties:
        made["properties"] = properties
    return made


def _hashes(one: Component) -> list[tuple[str, str]]:
    """What is surely of the one file that was installed."""
    found = [("sha256", text) for text in set(one.sha256)] if len(set(one.sha256)) == 1 else []
    for text in one.hashes:
        name, colon, value = text.partition(":")
        if colon and name in _ALGORITHMS:
            found.append((name, value))
    return sorted(set(found))


def _licenses(texts: tuple[str, ...]) -> list[dict[str, Any]]:
    """CycloneDX takes one expression, or a list of identifiers and names."""
    found = tuple(dict.fromkeys(licence(text) for text in sorted(texts) if text.strip()))
    if any(one.expression for one in found) and (whole := together(found)):
        return [{"expression": whole}]
    return [{"license": {"id": one.id} if one.id else {"name": one.name or one.expression}} for one in found]


def _spdx_component(one: Component) -> dict[str, Any]:
    made = _spdx_package(one.name, one.version, one.purl)
    if hashes := _hashes(one):
        made["checksums"] = [{"algorithm": name.upper(), "checksumValue": text} for name, text in hashes]
    declared = tuple(dict.fromkeys(licence(text) for text in sorted(one.licenses) if text.strip()))
    made["licenseDeclared"] = together(declared) or "NOASSERTION"
    if declared and made["licenseDeclared"] == "NOASSERTION":
        made["licenseComments"] = "; ".join(part.id or part.expression or part.name for part in declared)
    if one.supplier:
        made["supplier"] = f"Organization: {one.supplier}"
    if one.source:
        made["sourceInfo"] = f"built from {one.source}"
    return made


def _spdx_package(name: str, version: str, purl: str) -> dict[str, Any]:
    return {
        "SPDXID": f"SPDXRef-Package-{hashlib.sha256(purl.encode()).hexdigest()[:24]}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    }


def _unique(components: tuple[Component, ...]) -> list[Component]:
    """By package URL, sorted; of two with the same the first after sorting, so that the order they came in does not matter."""
    return list({one.purl: one for one in sorted(components, reverse=True)}.values())[::-1]


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
