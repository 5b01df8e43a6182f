"""Find or make the base of an image: `none`, one composed from Debian's packages, or an image in a registry."""

from builder.base.model import NONE, SCRATCH, Base
from builder.errors import UsageError
from builder.options import BuildOptions
from builder.platform import Platform, host
from builder.project import Project
from builder.python import interpreter


async def find(name: str, platform: Platform, project: Project, options: BuildOptions) -> Base:
    """The base called `name` for `platform`. Raises UsageError for one that cannot be had."""
    if name == SCRATCH:
        return Base(SCRATCH, platform)
    if name != NONE:
        raise UsageError(f"--base {name!r} is not known; there is none")
    if platform != host():
        raise UsageError(f"an image for {platform} needs a base; without one it is run by this machine's own interpreter")
    return Base(NONE, platform, python=await interpreter.find(options.python) if project.runtime == "python" else None)
