"""The profile of an image's start: measured or remembered, told, held against its budget, and made into what is attached to the image.

It is attached, not written into the image: times differ from run to run, and the same source must give the same digest.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from builder import oci
from builder.cache import Cache, key
from builder.errors import BudgetExceeded
from builder.oci import Content, Layer
from builder.options import Progress, Step
from builder.profile import report
from builder.profile.report import Profile
from builder.profile.run import NotMeasured, Start, measure

ARTIFACT = "application/vnd.dev.kfn.import-profile.v1+json"
TOTAL, SLOWEST, PRELOAD = "dev.kfn.import.total-ms", "dev.kfn.import.slowest", "dev.kfn.preload"


@dataclass(frozen=True, slots=True)
class Told:
    """`profile` is None if the handler could not be imported here."""

    profile: Profile | None
    warnings: tuple[str, ...] = ()


async def profiled(cache: Cache, layers: Sequence[Layer], start: Start, cold_start: str, strict: bool, tell: Progress) -> Told:
    """`layers` are the function's own, uncompressed. `cold_start` is kfn.coldStart, empty for none. Raises BudgetExceeded if `strict`."""
    allowed = report.budget(cold_start) if cold_start else 0
    name = key("profile", report.FORMAT, start.python.version, start.handler, start.stamp, start.env)
    found = _remembered(cache, name)
    cached = found is not None
    if found is None:
        try:
            found = await measure(cache, layers, start)
        except NotMeasured as error:
            tell(Step("profile", f"the handler could not be imported here: {error}"))
            warning = f"kfn.coldStart {cold_start} was not checked: the handler could not be imported here: {error}"
            return Told(None, (warning,) if allowed else ())
        cache.remember(name, report.encode(found))
    tell(Step("profile", report.sentence(found), cached))
    over = report.over(found, allowed) if allowed else ""
    if over and strict:
        raise BudgetExceeded(over)
    return Told(found, (over,) if over else ())


def artifact(found: Profile, subject: Content, preload: tuple[str, ...] | None) -> Content:
    """What is attached to the image. `preload` is func.yaml's own list, which goes before what was found."""
    if preload is not None:
        found = replace(found, preload=preload)
    notes = {TOTAL: str(round(found.total / 1000)), PRELOAD: ",".join(found.preload)}
    if found.packages:
        notes[SLOWEST] = f"{found.packages[0][0]} {report.ms(found.packages[0][1])}"
    return oci.artifact(ARTIFACT, subject, (oci.blob(oci.canonical(report.encode(found)), ARTIFACT),), notes)


def read(data: bytes) -> Profile:
    """What `artifact` attached. Raises ValueError, KeyError or TypeError for anything else."""
    return report.decode(json.loads(data))


def _remembered(cache: Cache, name: str) -> Profile | None:
    try:
        facts = cache.facts(name)
        return report.decode(facts) if facts else None
    except (ValueError, KeyError, TypeError):
        return None
