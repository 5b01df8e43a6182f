"""PATH of `kfn build` and `kfn deploy`: a folder, or the URL of a git repository."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import output
from cli.failures import CliError

if TYPE_CHECKING:
    from builder.sources.giturl import GitUrl


class SizeType(click.ParamType[int]):
    """`5GB`, `500MB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from builder.errors import UsageError
        from builder.options import parse_size

        try:
            return value if isinstance(value, int) else parse_size(str(value), "size")
        except UsageError as error:
            self.fail(error.detail, param, ctx)


def flags(command: output.F) -> output.F:
    """The options about what is read, and what other builds made of it."""
    for option in (
        click.option("--explain", is_flag=True, help="Say for each layer that is made anew what changed since the last build."),
        click.option("--registry-cache-write", is_flag=True, help="Add what is made here to --registry-cache."),
        click.option("--registry-cache", default="", envvar="KFN_REGISTRY_CACHE", metavar="REPOSITORY", help="Layers of other builds."),
        click.option("--cache-size", "cache_bytes", type=SizeType(), default=None, metavar="SIZE", help="Of the local cache."),
        click.option("--git-http", multiple=True, metavar="HOST[:PORT]", help="Read git repositories there without TLS; may be repeated."),
        click.option(
            "--allow-secret-file", "allow_secret_files", multiple=True, metavar="FILE", help="A file that looks like a secret and is none."
        ),
    ):
        command = option(command)
    return command


class SourceType(click.ParamType[Any]):
    """A `Path`, or for a git URL the text as it is: which hosts are allowed is known when all options are."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from builder.sources.giturl import is_git

        return value if isinstance(value, Path) or (isinstance(value, str) and is_git(value)) else Path(value)


def resolved(source: "Path | str | GitUrl", http_hosts: tuple[str, ...] = ()) -> "Path | GitUrl":
    """What `builder.app.build` takes. Raises CliError for a folder that is not there, UsageError for a URL that is refused."""
    if isinstance(source, str):
        from builder.sources import giturl

        return giturl.parse(source, http_hosts)
    if isinstance(source, Path):
        require_folder(source)
    return source


def folder(source: "Path | str") -> Path:
    """For what works on folders only."""
    if isinstance(source, str):
        raise CliError("this needs a folder that is here, not a git URL; clone it first", 2)
    require_folder(source)
    return source


def require_folder(path: Path) -> None:
    if not path.is_dir():
        raise CliError(f"{path}: no such folder" if not path.exists() else f"{path} is not a folder; give the function's folder", 2)
