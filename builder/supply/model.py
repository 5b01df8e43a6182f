"""What SBOM and provenance are made of, as values, and the types under which they travel. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from builder.components import Component
from builder.oci import Content
from builder.platform import Platform
from builder.sources.origin import UNKNOWN, Origin

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
CYCLONEDX, SPDX = "application/vnd.cyclonedx+json", "application/spdx+json"
IN_TOTO = "application/vnd.in-toto+json"

SIGNATURE_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
PROVENANCE_PREDICATE = "https://slsa.dev/provenance/v1"
SBOM_PREDICATES = {"cyclonedx": "https://cyclonedx.org/bom", "spdx": "https://spdx.dev/Document"}
SBOM_TYPES = {"cyclonedx": CYCLONEDX, "spdx": SPDX}


@dataclass(frozen=True, slots=True)
class Described:
    """The image for one platform. `components` are the function's own, `base_components` those of what it stands on."""

    name: str  # default/hello
    image: Content
    components: tuple[Component, ...] = ()
    base: str = ""  # as Base.name; empty or `none`: it stands on nothing
    base_reference: str = ""
    base_digest: str = ""
    base_components: tuple[Component, ...] = ()
    runtime: str = ""  # digest of the layer with kfn's own files; empty: there is none

    @property
    def platform(self) -> Platform:
        assert self.image.platform, "an image is for a platform"
        return self.image.platform


@dataclass(frozen=True, slots=True)
class Run:
    """One build, for provenance. `options` are those that change the image; none may hold a secret or a path of the machine."""

    source_digest: str  # of the content, `Source.digest`
    origin: Origin = UNKNOWN
    options: Mapping[str, Any] = field(default_factory=dict)
    internal: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    builder: str = ""
    invocation: str = ""
    started: str = ""  # RFC 3339
    finished: str = ""


def oci_purl(reference: str, digest: str, platform: Platform) -> str:
    """`pkg:oci/hello@sha256%3A...?arch=amd64&repository_url=...`, the package URL of an image."""
    repository = reference.partition("@")[0]
    head, colon, tag = repository.rpartition(":")
    if colon and "/" not in tag:
        repository = head
    name = repository.rpartition("/")[2].lower()
    where = f"&repository_url={quote(repository, safe='/')}" if "/" in repository else ""
    return f"pkg:oci/{quote(name)}@{quote(digest, safe='')}?arch={platform.architecture}{where}"
