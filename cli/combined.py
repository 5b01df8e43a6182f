"""Options of `kfn build` and `kfn deploy` that need or exclude one another. What is asked for and would have no effect is refused:
somebody who signs an image has to know that nothing was signed. Which options `--remote` takes is `cli.remote`'s."""

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from cli.failures import CliError

NEEDS = {
    "detach": "remote", "timeout": "remote", "push_secret": "remote", "pull_secret": "remote", "index_secret": "remote",
    "git_secret": "remote", "registry_cache_write": "registry_cache",
}  # fmt: skip
EXCLUDES = {
    "compared": (
        "watch", "dry_run", "push", "tags", "outputs", "store", "sbom", "sign", "sign_old", "attest", "timestamp", "git_annotations",
    ),
    "watch": ("sbom",),
}  # fmt: skip
LEAVING = ("tags", "sign", "sign_old", "attest", "sbom_format", "compression")  # they say something of an image that leaves this machine


def refuse(context: click.Context) -> None:
    """Of `kfn build`, before anything is built. Raises CliError, a wrong usage."""
    for name, needed in NEEDS.items():
        if _asked(context, name) and not context.params[needed]:
            raise CliError(f"{flag(context, name)} needs {flag(context, needed)}", 2)
    for name, others in EXCLUDES.items():
        wrong = [other for other in others if _asked(context, other)] if _asked(context, name) else []
        if wrong == ["outputs"] and not set(context.params["outputs"]) - {"text"}:
            continue
        if wrong:
            raise CliError(f"{flag(context, name)} and {flag(context, wrong[0])} cannot be together", 2)
    if context.params["sbom"] == "-" and "json" in context.params["outputs"]:
        raise CliError("--sbom - and -o json both write to stdout; give --sbom a file", 2)


def refuse_here(context: click.Context, given: Mapping[str, Any]) -> None:
    """Of `kfn deploy` on a platform of one machine, which runs images from its own store."""
    from builder.platform import host, parse_all

    wrong = next((name for name in LEAVING if _asked(context, name)), "")
    if not wrong and set(parse_all(given["platforms"])) - {host()}:
        wrong = "platforms"
    if wrong:
        why = f"it runs here, on {host()}" if wrong == "platforms" else "the image stays in this machine's own store"
        raise CliError(f"{flag(context, wrong)} is of no use on this platform: {why}. `kfn build --push` makes one that leaves", 2)


def flag(context: click.Context, name: str) -> str:
    """As users write it: the long form."""
    found = next(parameter for parameter in context.command.params if parameter.name == name)
    return max(found.opts, key=len)


def _asked(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
