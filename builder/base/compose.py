"""Packages to the members of a layer: files in their places, what the packages' scripts would write, and the record of what is there.

Chooses no packages, fetches nothing and writes no file. The same packages give the same members.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from builder.base import configure
from builder.base.place import file_mode, folder_mode, place
from builder.base.recipes import Recipe
from builder.components import Component
from builder.debian.deb import Deb, Entry
from builder.debian.licences import licences
from builder.debian.model import Package, purl
from builder.errors import BuildError
from builder.tar import Member

STATUS = "var/lib/dpkg/status.d"  # where scanners look for packages in an image without dpkg
_CERTIFICATES = "usr/share/ca-certificates/"
_MOST_LICENCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """One opened package. Its entries can be read as long as it is open, and so can the members made of them."""

    package: Package
    deb: Deb


@dataclass(frozen=True, slots=True)
class Composed:
    members: tuple[Member, ...]
    components: tuple[Component, ...]


def compose(group: str, parts: Sequence[Part], recipe: Recipe, architecture: str) -> Composed:
    """The layer `group` (`recipes.GROUPS`) of a base."""
    found: dict[str, Member] = {}
    components: list[Component] = []
    certificates: dict[str, bytes] = {}
    for part in sorted(parts, key=lambda part: part.package.name):
        kept = {path: entry for entry in part.deb.entries() if (path := place(entry.path)) is not None}
        for member in _members(kept):
            there = found.setdefault(member.path, member)
            if there is not member and not (there.folder and member.folder):
                raise BuildError(f"{part.package.name} and another package of {recipe.name} both have /{member.path}")
        if part.package.name == "ca-certificates":
            certificates = {p: _read(e) for p, e in kept.items() if p.startswith(_CERTIFICATES) and e.kind == "file"}
        for member in _record(part, kept):
            found[member.path] = member
        components.append(_component(part, kept, recipe))
    for member in _scripts(group, parts, recipe, certificates, architecture):
        found.setdefault(member.path, member)  # what a package brings is its own
    return Composed(tuple(found.values()), tuple(components))


def _scripts(group: str, parts: Sequence[Part], recipe: Recipe, certificates: Mapping[str, bytes], architecture: str) -> Iterable[Member]:
    """What the packages' scripts would write."""
    if group == "static":
        if not certificates:
            raise BuildError(f"{recipe.name}: ca-certificates holds no certificate")
        yield from configure.static(certificates, architecture == "amd64")
    if group == "own" and recipe.python:
        yield from configure.python(recipe.python)
    for part in sorted(parts, key=lambda part: part.package.name):
        for link, target in sorted(configure.alternatives(part.deb.postinst).items()):
            if (path := place(link)) is not None:
                yield Member(path, link=target)


def _members(kept: Mapping[str, Entry]) -> Iterable[Member]:
    """Of files with one content, all but the first in the tar's order become hard links to that one."""
    twins: dict[str, list[str]] = {}
    for path, entry in kept.items():
        if entry.hard and (target := place(entry.hard)) in kept:
            twins.setdefault(str(target), [str(target)]).append(path)
    first = {path: min(paths) for paths in twins.values() for path in paths}
    for path, entry in kept.items():
        if entry.kind == "folder":
            yield Member(path, folder=True, mode=folder_mode(path))
        elif entry.kind == "link":
            yield Member(path, link=entry.link)
        elif first.get(path, path) != path:
            yield Member(path, same=first[path])
        else:
            yield Member(path, stream=entry.open, size=entry.size, mode=file_mode(entry.mode))


def _record(part: Part, kept: Mapping[str, Entry]) -> Iterable[Member]:
    """The package's control file, and the sums of those of its files that are there, where they are."""
    sums = []
    for line in part.deb.md5sums.splitlines():
        digest, _, name = line.partition("  ")
        if (path := place(name.removeprefix("./"))) in kept:
            sums.append(f"{digest}  {path}\n")
    yield Member(f"{STATUS}/{part.package.name}", load=part.deb.control_text.encode)
    yield Member(f"{STATUS}/{part.package.name}.md5sums", load="".join(sums).encode)


def _component(part: Part, kept: Mapping[str, Entry], recipe: Recipe) -> Component:
    package, control = part.package, part.deb.control
    text = kept.get(f"usr/share/doc/{package.name}/copyright")
    said = _read(text).decode("utf-8", "replace") if text and text.kind == "file" and text.size <= _MOST_LICENCE else ""
    source, _, version = control.get("Source", package.name).partition(" ")
    return Component(
        purl=purl(package, f"debian-{recipe.release}"),
        name=package.name,
        version=package.version,
        sha256=(package.sha256,),
        licenses=licences(said),
        supplier=control.get("Maintainer", ""),
        source=f"{source} {version.strip('()') or package.version}",
    )


def _read(entry: Entry) -> bytes:
    with entry.open() as file:
        return file.read()
