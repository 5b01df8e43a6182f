"""Which images of a Revision are still names of something that may change, and the Revision with each named by its digest. Pure."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from kfn.api import core, names
from kfn.api.serving import Revision

_DIGEST = "@sha256:"


@dataclass(frozen=True, slots=True)
class Trouble:
    """The image that could not be had, why, and after how many failures in a row."""

    image: str
    why: str
    lasting: bool
    failures: int


def known(revision: Revision, deployment: core.Deployment | None) -> dict[str, str]:
    """By container: the image by digest, as the Revision's status has it, else as its Deployment was made."""
    pod = deployment.spec.template.spec if deployment else core.PodSpec()
    made = {c.name: c.image for c in (*pod.containers, *pod.init_containers) if _DIGEST in c.image}
    status = revision.status
    told = {s.name: s.image_digest for s in (*status.container_statuses, *status.init_container_statuses) if _DIGEST in s.image_digest}
    return made | told


def open_names(revision: Revision, have: Mapping[str, str], skip: Sequence[str]) -> tuple[str, ...]:
    """The images whose digest has to be asked for, each once."""
    containers = (*revision.spec.containers, *revision.spec.init_containers)
    wanted = (c.image for c in containers if name_of(c) not in have and _DIGEST not in c.image and not _skipped(c.image, skip))
    return tuple(dict.fromkeys(wanted))


def by_container(revision: Revision, digests: Mapping[str, str]) -> dict[str, str]:
    """By container: the image by digest, from digests by image."""
    containers = (*revision.spec.containers, *revision.spec.init_containers)
    return {name_of(c): at(c.image, digests[c.image]) for c in containers if c.image in digests}


def pinned(revision: Revision, have: Mapping[str, str]) -> Revision:
    """The Revision as its pods are to run it."""

    def fixed(containers: list[core.Container]) -> list[core.Container]:
        return [replace(c, image=have.get(name_of(c), c.image)) for c in containers]

    spec = revision.spec
    return replace(revision, spec=replace(spec, containers=fixed(spec.containers), init_containers=fixed(spec.init_containers)))


def name_of(container: core.Container) -> str:
    """A container's name. Admission gives one to each; without it there may be none."""
    return container.name or names.DEFAULT_CONTAINER


def at(image: str, digest: str) -> str:
    """By digest and without the tag: Kubernetes asks the registry at every start for an image whose tag is `latest`, digest or not."""
    slash, colon = image.rfind("/"), image.rfind(":")
    return f"{image[:colon] if colon > slash else image}@{digest}"


def _skipped(image: str, skip: Sequence[str]) -> bool:
    host = registry(image)
    return host in skip or host.partition(":")[0] in skip or _is_loopback(host)


def registry(image: str) -> str:
    """The registry that an image's name means, with its port."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def _is_loopback(host: str) -> bool:
    """On a node that is the node itself, so to ask here would be to ask another."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
