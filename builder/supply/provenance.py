"""How an image was made: SLSA's provenance v1 in an in-toto statement. It may have times, for it lies beside the image. Pure.

No user, host, path or secret of the machine that built goes in. What the fields mean is in docs/supply-chain.md.
"""

import json
from collections.abc import Sequence
from typing import Any

from builder.components import Component
from builder.oci import Content, sha256
from builder.supply.dsse import statement
from builder.supply.model import PROVENANCE_PREDICATE, Described, Run
from builder.supply.stamp import public_url

BUILD_TYPE = "https://kfn.dev/build/v1"
LOCAL = "https://kfn.dev/builder/local"  # a person's machine or a CI job that calls `kfn build`
CLUSTER = "https://kfn.dev/builder/cluster"  # kfn's own Job


def provenance(described: Sequence[Described], whole: Content, run: Run) -> bytes:
    """One statement for the whole build: about the image, or the index and every image in it."""
    name = described[0].name
    subjects = {whole.digest: name} | {one.image.digest: f"{one.name} {one.platform}" for one in described}
    if len(described) == 1 and whole.digest == described[0].image.digest:
        subjects = {whole.digest: name}
    return statement(list(subjects.items()), PROVENANCE_PREDICATE, _predicate(described, run))


def without_times(body: bytes) -> str:
    """A digest of what a provenance says about how, without when: equal for two builds that did the same."""
    content = json.loads(body)
    content["predicate"]["runDetails"].pop("metadata", None)
    return sha256(json.dumps(content, sort_keys=True).encode())


def _predicate(described: Sequence[Described], run: Run) -> dict[str, Any]:
    metadata = {"invocationId": run.invocation, "startedOn": run.started, "finishedOn": run.finished}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "source": _source(run),
                "options": dict(run.options),
                "platforms": sorted(str(one.platform) for one in described),
            },
            "internalParameters": dict(run.internal),
            "resolvedDependencies": _dependencies(described, run),
        },
        "runDetails": {
            "builder": {"id": run.builder or LOCAL, "version": dict(run.versions)},
            "metadata": {key: value for key, value in metadata.items() if value},
        },
    }


def _source(run: Run) -> dict[str, Any]:
    """A clean commit names the source; anything else is named by its content."""
    digest = {"sha256": run.source_digest}
    if not run.origin:
        return {"digest": digest}
    found: dict[str, Any] = {"uri": _uri(run), "digest": digest | ({} if run.origin.dirty else {"gitCommit": run.origin.commit})}
    notes = {"ref": run.origin.ref, "folder": run.origin.folder, "changedSince": run.origin.commit if run.origin.dirty else ""}
    if kept := {key: value for key, value in notes.items() if value}:
        found["annotations"] = kept
    return {key: value for key, value in found.items() if value}


def _uri(run: Run) -> str:
    url = public_url(run.origin.url)
    return f"git+{url}@{run.origin.commit}" if url else ""


def _dependencies(described: Sequence[Described], run: Run) -> list[dict[str, Any]]:
    """The source, the bases, and every package, each once."""
    found: dict[str, dict[str, Any]] = {"": {"name": "source", **_source(run)}}
    for one in described:
        if one.base_digest:
            reference = one.base_reference.partition("@")[0]
            found[f"base {one.base_digest}"] = {
                "name": f"base {one.base} for {one.platform}",
                "digest": {"sha256": one.base_digest.removeprefix("sha256:")},
                **({"uri": f"oci://{reference}@{one.base_digest}"} if reference else {}),
            }
        for component in (*one.components, *one.base_components):
            found.setdefault(component.purl, _dependency(component))
    return [found[key] for key in sorted(found)]


def _dependency(component: Component) -> dict[str, Any]:
    """Of several allowed files it is not known which one was taken, so none is called the digest."""
    made: dict[str, Any] = {"name": f"{component.name} {component.version}", "uri": component.purl}
    allowed = sorted(set(component.sha256))
    digest = {"sha256": allowed[0]} if len(allowed) == 1 else {}
    digest |= {name: value for name, colon, value in (text.partition(":") for text in component.hashes) if colon}
    if digest:
        made["digest"] = digest
    notes: dict[str, Any] = {"allowedSha256": allowed} if len(allowed) > 1 else {}
    if notes := notes | dict(component.sums):
        made["annotations"] = notes
    return made
