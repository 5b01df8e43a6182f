"""Find or make the base of an image: `none`, one composed from Debian's packages, or an image in a registry. Read this first.

none                               this machine's interpreter, for the embedded platform
scratch                            nothing at all, for a static binary
python3.13 python3.11 node static  kfn's own: `own.py` chooses the lock, `composed.py` makes the layers, `rootfs.py` starts the Python
anything with / : or @             somebody's image: `foreign.py`, or one that `kfn base import` brought: `imported.py`
"""

from builder.base.model import NONE, SCRATCH, Base
from builder.base.recipes import PYTHON, RECIPES
from builder.errors import UsageError
from builder.options import BuildOptions
from builder.platform import Platform, host
from builder.project import Project
from builder.python import interpreter
from builder.python.requirements import requires_python
from builder.python.versions import base as python_base


async def find(name: str, platform: Platform, project: Project, options: BuildOptions) -> Base:
    """The base called `name` for `platform`. Raises UsageError for one that cannot be had."""
    if name == PYTHON:
        name = python_base(project.python, requires_python(project.path))
    # Imported where they are used: without them a build for the embedded platform starts 90 ms sooner.
    if recipe := RECIPES.get(name):
        from builder.base.own import own

        return await own(recipe, platform, project.packages, project.path, options)
    if project.packages:
        why = "; an image that stays on this machine has none, so send it out with --push or -o" if name == NONE else ""
        raise UsageError(
            f"kfn.packages ({', '.join(project.packages)}) needs one of kfn's own bases: {', '.join(RECIPES)}, not {name!r}{why}"
        )
    if name == SCRATCH:
        return Base(SCRATCH, platform)
    if any(sign in name for sign in "/:@"):
        from builder.base import imported
        from builder.base.foreign import foreign

        return await imported.find(name, platform, project, options) or await foreign(name, platform, project, options)
    if name != NONE:
        raise UsageError(
            f"--base {name!r} is not one of {', '.join((NONE, SCRATCH, PYTHON, *RECIPES))}, nor an image such as registry/name:tag"
        )
    if platform != host():
        raise UsageError(f"an image for {platform} needs a base; without one it is run by this machine's own interpreter")
    return Base(NONE, platform, python=await interpreter.find(options.python) if project.runtime == "python" else None)
