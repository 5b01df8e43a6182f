"""Rules for a traffic block: each target names one thing, tags are unique DNS labels, the percents make 100."""

from collections.abc import Sequence

from kfn.api.errors import FieldError
from kfn.api.limits import TRAFFIC_MAX, too_many
from kfn.api.names import LABEL_MAX
from kfn.api.naming import dns1035, too_long
from kfn.api.serving import TrafficTarget


def validate(traffic: Sequence[TrafficTarget], base: str, parent: str, *, in_service: bool) -> list[FieldError]:
    """`parent` is the Route's name: a tagged target's host is `<tag>-<parent>`."""
    if not traffic:
        return [FieldError(base, "missing; name at least one target, with percent 100")]
    errors = too_many(base, traffic, TRAFFIC_MAX)
    tags: dict[str, int] = {}
    for i, target in enumerate(traffic):
        at = f"{base}[{i}]"
        errors += _target(target, at, in_service=in_service)
        errors += _tag(target.tag, f"{at}.tag", parent)
        if target.tag and target.tag in tags:
            errors.append(FieldError(f"{at}.tag", f"{target.tag!r} is also the tag of {base}[{tags[target.tag]}]; rename one"))
        tags.setdefault(target.tag, i)
    total = sum(t.percent or 0 for t in traffic)
    if not errors and total != 100:
        errors.append(FieldError(base, f"the percents make {total}, not 100; change them so that they do"))
    return errors


def _target(target: TrafficTarget, at: str, *, in_service: bool) -> list[FieldError]:
    errors = []
    if target.percent is not None and not 0 <= target.percent <= 100:
        errors.append(FieldError(f"{at}.percent", f"{target.percent} is out of bounds; use 0 to 100"))
    if target.url:
        errors.append(FieldError(f"{at}.url", "is set by the platform; remove it"))
    if in_service and target.configuration_name:
        errors.append(FieldError(f"{at}.configurationName", "a Service routes to its own Configuration; remove it"))
    elif target.revision_name and target.configuration_name:
        errors.append(FieldError(at, "names both a revision and a configuration; keep one"))
    elif not in_service and not target.revision_name and not target.configuration_name:
        errors.append(FieldError(at, "names nothing; set revisionName or configurationName"))
    if target.revision_name and target.latest_revision:
        errors.append(FieldError(f"{at}.latestRevision", f"cannot be true with revisionName {target.revision_name!r}; remove one"))
    if target.latest_revision is False and not target.revision_name:
        errors.append(FieldError(f"{at}.latestRevision", "cannot be false without a revisionName; name the revision"))
    return errors


def _tag(tag: str, at: str, parent: str) -> list[FieldError]:
    if not tag:
        return []
    wrong = dns1035(tag) or too_long(tag, LABEL_MAX - len(parent) - 1, f"{tag}-{parent}")
    return [FieldError(at, wrong)] if wrong else []
