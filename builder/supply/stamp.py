"""What an image says of when and of which commit it was made. By default nothing: a copy of the source without its .git folder has to
give the same image, so commit and time belong into the provenance beside it. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from builder.errors import UsageError
from builder.oci import EPOCH
from builder.options import BuildOptions
from builder.sources.origin import Origin

REVISION, SOURCE = "org.opencontainers.image.revision", "org.opencontainers.image.source"
_SCP = re.compile(r"(?:[^@/\s]+@)?([A-Za-z0-9._-]+):(?!//)([^:\s]+)")
_SCHEMES = ("https", "http", "ssh", "git")


@dataclass(frozen=True, slots=True)
class Stamp:
    """`created` goes into the config, `annotations` into the manifest."""

    created: str = EPOCH
    annotations: Mapping[str, str] = field(default_factory=dict)


def stamped(options: BuildOptions, origin: Origin, now: datetime) -> Stamp:
    """Raises UsageError if a commit is asked for that the source does not have."""
    clean = bool(origin) and not origin.dirty
    asked = "--timestamp commit" if options.timestamp == "commit" else "--git-annotations" if options.git_annotations else ""
    if asked and not clean:
        why = "has changes that are not committed" if origin else "is no git checkout"
        raise UsageError(f"{asked}: the source {why}")
    created = {"epoch": EPOCH, "commit": origin.committed or EPOCH, "now": now.strftime("%Y-%m-%dT%H:%M:%SZ")}[options.timestamp]
    if not options.git_annotations:
        return Stamp(created)
    url = public_url(origin.url)
    return Stamp(created, {REVISION: origin.commit, **({SOURCE: url} if url else {})})


def public_url(url: str) -> str:
    """The URL of a repository without user and password; empty for one that is a path of this machine."""
    if found := _SCP.fullmatch(url):
        return f"ssh://{found[1]}/{found[2].lstrip('/')}"
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme not in _SCHEMES or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path}"
