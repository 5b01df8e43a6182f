"""kfn version: this command's version, and the platform's when one is reachable."""

import click

from cli import output, session
from kfn.version import VERSION


@click.command("version")
@click.option("-o", "--output", "form", type=click.Choice(("table", "json", "yaml")), default="table")
@click.option("--client", is_flag=True, help="Do not ask the platform.")
def command(form: str, client: bool) -> None:
    """Print the version of kfn and of the platform it finds."""
    facts = {"client": VERSION}
    if not client:
        facts |= _server()
    if form == "table":
        output.fields([(name, value) for name, value in facts.items()])
    else:
        output.data(form, facts)


def _server() -> dict[str, str]:
    from kfn.kube.config import ConfigError

    try:
        found = session.resolve()
    except ConfigError:
        return {}
    kind = "embedded" if found.facts else "cluster"
    version = str(found.facts["version"]) if found.facts else ""
    return {"platform": f"{kind} {version}".strip(), "server": found.config.server}
