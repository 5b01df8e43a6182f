"""kfn new: a function project from a template."""

import re
from pathlib import Path

import click

from cli.failures import CliError

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("http", "cloudevents", "inference")


@click.command("new")
@click.argument("path", type=click.Path(file_okay=False, path_type=Path))
@click.option("-t", "--template", type=click.Choice(KINDS), default="http", show_default=True)
def command(path: Path, template: str) -> None:
    """Make a new function in the folder PATH, which must be new or empty. Its name is the folder's."""
    name = path.resolve().name.lower().replace("_", "-")
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) or len(name) > 50:
        raise CliError(f"{name!r} cannot be a function's name: use lower-case letters, digits and '-', begin with a letter, at most 50", 2)
    if path.exists() and any(path.iterdir()):
        raise CliError(f"{path} is not empty; choose a new folder", 2)
    for source in sorted((TEMPLATES / template).rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            target = path / source.relative_to(TEMPLATES / template)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text().replace("__NAME__", name))
    click.echo(f"made {path} from the {template} template. Next: kfn deploy {path}", err=True)
