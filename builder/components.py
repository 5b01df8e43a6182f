"""What an image is made of, for its SBOM and provenance: every package with its version, origin and hash. Values only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """`purl` is its package URL (`pkg:pypi/numpy@2.1.0`, `pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12`).

    `sha256` has what was downloaded: the hex digests that the lock or the index allowed, without a prefix. `hashes` is for other
    algorithms, as `sha512:` and hex digits. `sums` has what is no digest of a file, as (name, value): ("go:h1", "h1:..."), the sum
    that go.sum has over the files of a module.
    """

    purl: str
    name: str
    version: str
    sha256: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()  # SPDX expressions or the names that the package's own metadata has
    supplier: str = ""
    source: str = ""  # name and version of the source package, for Debian's
    hashes: tuple[str, ...] = ()
    sums: tuple[tuple[str, str], ...] = ()
