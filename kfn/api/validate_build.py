"""Rules for Build: one source, a target that can be pushed to, options that the builder has; and that nothing changes but `cancel`."""

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from kfn.api import naming, quantity
from kfn.api.build import Build, BuildSource, GitSource
from kfn.api.core import ResourceRequirements
from kfn.api.errors import FieldError

LONGEST_TIMEOUT = 21600
LONGEST_NAME = 50  # of a Build: its Jobs' names and their labels are made of it
INLINE_BYTES = 65536  # of all files together, as JSON: they travel in the pod's environment, where one variable may have 128 KiB
PLATFORMS = ("linux/amd64", "linux/arm64")
COMPRESSIONS = ("gzip", "zstd", "none")
_HOST = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_HOST}/{_PART}(?:/{_PART})*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_GIT = re.compile(r"(?:https?|ssh|git)://[^\s/?#]+/\S+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:(?!/)\S+")


def build(obj: Build, old: Build | None) -> list[FieldError]:
    spec = obj.spec
    errors = naming.subdomain_name(obj.metadata)
    if wrong := naming.too_long(obj.metadata.name, LONGEST_NAME):
        errors.append(FieldError("metadata.name", wrong))
    if old is not None:
        return errors + _unchanged(obj, old)
    errors += _source(spec.source) + _image(obj)
    if spec.name and (wrong := naming.dns1035(spec.name) or naming.too_long(spec.name)):
        errors.append(FieldError("spec.name", wrong))
    for i, platform in enumerate(spec.platforms):
        if platform not in PLATFORMS:
            errors.append(FieldError(f"spec.platforms[{i}]", f"{platform!r} is not known; use {' or '.join(PLATFORMS)}"))
    if spec.options.compression not in ("", *COMPRESSIONS):
        errors.append(FieldError("spec.options.compression", f"{spec.options.compression!r} is not known; use {', '.join(COMPRESSIONS)}"))
    if spec.options.registry_cache and not _REPOSITORY.fullmatch(spec.options.registry_cache):
        errors.append(FieldError("spec.options.registryCache", _no_repository(spec.options.registry_cache)))
    if any(c.isspace() or not c.isprintable() for c in spec.base):
        errors.append(FieldError("spec.base", f"{spec.base!r} is not the name of a base or of an image"))
    if not 1 <= spec.timeout_seconds <= LONGEST_TIMEOUT:
        errors.append(FieldError("spec.timeoutSeconds", f"{spec.timeout_seconds} is out of bounds; use 1 to {LONGEST_TIMEOUT}"))
    for field, name in (
        ("pushSecret", spec.push_secret),
        ("pullSecret", spec.pull_secret),
        ("indexSecret", spec.index_secret),
        ("gitSecret", spec.git_secret),
    ):
        if name and (wrong := naming.dns_name(name)):
            errors.append(FieldError(f"spec.{field}", wrong))
    return errors + _resources(spec.resources)


def _unchanged(obj: Build, old: Build) -> list[FieldError]:
    if old.spec.cancel and not obj.spec.cancel:
        return [FieldError("spec.cancel", "a cancelled build stays cancelled; create another Build")]
    if replace(obj.spec, cancel=old.spec.cancel) == old.spec:
        return []
    changed = [f for f in obj.spec.__struct_fields__ if f != "cancel" and getattr(obj.spec, f) != getattr(old.spec, f)]
    names = dict(zip(obj.spec.__struct_fields__, obj.spec.__struct_encode_fields__, strict=True))
    return [FieldError(f"spec.{names[f]}", "immutable; create another Build (only cancel may be set)") for f in changed]


def _source(source: BuildSource) -> list[FieldError]:
    given = [name for name, value in (("artifact", source.artifact), ("git", source.git), ("inline", source.inline)) if value]
    if len(given) != 1:
        said = "missing; set" if not given else f"has {' and '.join(given)}; keep"
        return [FieldError("spec.source", f"{said} one of artifact, git and inline")]
    if source.git is not None:
        return _git(source.git)
    if source.inline:
        return _inline(source.inline)
    repository, _, digest = source.artifact.partition("@")
    if not _REPOSITORY.fullmatch(repository) or not _DIGEST.fullmatch(digest):
        return [FieldError("spec.source.artifact", f"{source.artifact!r} is not registry/repository@sha256:DIGEST")]
    return []


def _git(git: GitSource) -> list[FieldError]:
    errors = []
    if not _GIT.fullmatch(git.url) or not git.url.isprintable():
        errors.append(
            FieldError("spec.source.git.url", f"{_hidden(git.url)!r} is not a URL of a repository; use https://, ssh:// or git://")
        )
    elif "://" in git.url and ":" in git.url.split("://", 1)[1].split("/", 1)[0].rpartition("@")[0]:
        errors.append(FieldError("spec.source.git.url", "has a password in it; put it into a Secret and name that in gitSecret"))
    if git.ref.startswith("-") or not re.fullmatch(r"[\w./+@-]*", git.ref) or ".." in git.ref:
        errors.append(FieldError("spec.source.git.ref", f"{git.ref!r} is not a branch, tag or commit"))
    if not _inside(git.subdir) and git.subdir:
        errors.append(FieldError("spec.source.git.subdir", f"{git.subdir!r} must be a relative path inside the repository"))
    return errors


def _inline(files: dict[str, str]) -> list[FieldError]:
    errors = [
        FieldError(f"spec.source.inline[{name[:80]}]", "is not a relative path inside the source; write for example func.py")
        for name in files
        if not _inside(name)
    ]
    size = len(json.dumps(files, ensure_ascii=False).encode("utf-8", "replace"))
    if size > INLINE_BYTES:
        errors.append(FieldError("spec.source.inline", f"has {size} bytes, at most {INLINE_BYTES} are possible; use artifact or git"))
    return errors


def _inside(path: str) -> bool:
    return (
        bool(path)
        and len(path) <= 1024
        and path.isprintable()
        and not path.startswith("/")
        and "\\" not in path
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )


def _image(obj: Build) -> list[FieldError]:
    image = obj.spec.image
    errors = []
    if not image.repository:
        errors.append(FieldError("spec.image.repository", "missing; name where the image goes, such as registry.example/team/hello"))
    elif not _REPOSITORY.fullmatch(image.repository) or len(image.repository) > 255:
        errors.append(FieldError("spec.image.repository", _no_repository(image.repository)))
    for i, tag in enumerate(image.tags):
        if not _TAG.fullmatch(tag):
            errors.append(FieldError(f"spec.image.tags[{i}]", f"{tag!r} is not a tag; use at most 128 letters, digits, '_', '.' and '-'"))
    return errors


def _no_repository(text: str) -> str:
    return f"{text!r} is not a repository; write registry/path in lower case, without tag and digest"


def _resources(resources: ResourceRequirements | None) -> list[FieldError]:
    errors = []
    for kind in ("limits", "requests") if resources is not None else ():
        for name, value in getattr(resources, kind).items():
            try:
                quantity.parse(value)
            except quantity.BadQuantity as error:
                errors.append(FieldError(f"spec.resources.{kind}.{name}", str(error)))
    return errors


def _hidden(url: str) -> str:
    """A URL without what may be a password."""
    return re.sub(r"(?<=//)[^/@\s]*@", "...@", url[:200])


BY_KIND: dict[str, Callable[[Any, Any], list[FieldError]]] = {"builds.kfn.dev": build}
