"""kfn list: the functions of a namespace, or of all."""

import click

from cli import objects, output, session
from kfn.api import kinds, serving


@click.command("list")
@click.option("-A", "--all-namespaces", is_flag=True, help="List every namespace.")
@output.option
@session.options
def command(session: session.Session, output: str, all_namespaces: bool) -> None:
    """List functions with their addresses and whether they are ready.

    \b
    kfn list -o wide
    kfn list -A -o json
    """
    from cli.output import objects as show
    from cli.session import run

    async def work() -> list[serving.Service]:
        async with session.client() as client:
            return await objects.listed(client, kinds.SERVICE, None if all_namespaces else session.namespace)

    where = "in any namespace" if all_namespaces else f"in namespace {session.namespace}"
    show(output, run(work), lambda s, wide: row(s, wide, all_namespaces), empty=f"No functions {where}. `kfn new` makes one.")


def row(service: serving.Service, wide: bool, with_namespace: bool) -> dict[str, str]:
    status = service.status
    cells = {"NAMESPACE": service.metadata.namespace} if with_namespace else {}
    cells |= {
        "NAME": service.metadata.name,
        "URL": status.url,
        "LATEST": status.latest_ready_revision_name,
        "AGE": output.age(service.metadata.creation_timestamp),
        "READY": objects.ready(status.conditions),
        "REASON": objects.reason(status.conditions),
    }
    if wide:
        split = ", ".join(f"{t.revision_name}={t.percent}%" for t in status.traffic if t.percent)
        cells |= {"GENERATION": str(service.metadata.generation), "TRAFFIC": split}
    return cells
