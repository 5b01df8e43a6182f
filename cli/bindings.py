"""kfn source binding and kfn source container: workloads that are told where to send events."""

from typing import TYPE_CHECKING

import click

from cli import session, sourced

if TYPE_CHECKING:
    from kfn.api.containersource import ContainerSource
    from kfn.api.sinkbinding import SinkBinding, Subject


@click.group("binding")
def binding() -> None:
    """Sink bindings: workloads that find the address of a sink in K_SINK."""


@binding.command("create")
@click.argument("name")
@click.option("--subject", required=True, metavar="SUBJECT", help="ksvc:NAME, KIND:APIVERSION:NAME or KIND:APIVERSION:LABEL=VALUE,...")
@sourced.sink
@sourced.override
@click.option("--wait/--no-wait", default=True, help="Wait until the subjects have it.")
@session.options
def create_binding(session: session.Session, name: str, subject: str, sink: str, overrides: tuple[str, ...], wait: bool) -> None:
    """Create a sink binding.

    \b
    kfn source binding create orders --subject Deployment:apps/v1:shop --sink broker:default
    """
    from kfn.api import kinds
    from kfn.api.meta import ObjectMeta
    from kfn.api.sinkbinding import SinkBinding, SinkBindingSpec

    spec = SinkBindingSpec(subject=_subject(subject), **sourced.spec(session, sink, overrides))
    made = SinkBinding(metadata=ObjectMeta(name=name, namespace=session.namespace), spec=spec)
    sourced.create(session, kinds.SINK_BINDING, made, "sink binding", wait=wait)


@click.group("container")
def container() -> None:
    """Container sources: programs of your own that send events to K_SINK."""


@container.command("create")
@click.argument("name")
@click.option("--image", required=True, metavar="IMAGE", help="What to run.")
@sourced.sink
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="A variable; may be repeated.")
@click.option("--cmd", multiple=True, metavar="WORD", help="A word of the command, instead of the image's; may be repeated.")
@click.option("--arg", multiple=True, metavar="WORD", help="An argument; may be repeated.")
@click.option("--service-account", default="", metavar="NAME", help="The ServiceAccount that it runs as.")
@sourced.override
@click.option("--wait/--no-wait", default=True, help="Wait until it runs.")
@session.options
def create_container(
    session: session.Session, name: str, image: str, sink: str, env: tuple[str, ...], cmd: tuple[str, ...], arg: tuple[str, ...],
    service_account: str, overrides: tuple[str, ...], wait: bool,
) -> None:  # fmt: skip
    """Create a container source.

    \b
    kfn source container create ticker --image example.com/ticker:1 --sink broker:default
    """
    from kfn.api import kinds
    from kfn.api.base import encode
    from kfn.api.containersource import ContainerSource, ContainerSourceSpec
    from kfn.api.core import Container, EnvVar, PodSpec
    from kfn.api.meta import ObjectMeta

    variables = [EnvVar(one, value) for one, value in sourced.pairs(env, "--env", "MODE=fast").items()]
    only = Container(name="source", image=image, command=list(cmd), args=list(arg), env=variables)
    pod = encode(PodSpec(containers=[only], service_account_name=service_account))
    spec = ContainerSourceSpec(template={"spec": pod}, **sourced.spec(session, sink, overrides))
    made = ContainerSource(metadata=ObjectMeta(name=name, namespace=session.namespace), spec=spec)
    sourced.create(session, kinds.CONTAINER_SOURCE, made, "container source", wait=wait)


def _subject(text: str) -> "Subject":
    from cli.failures import CliError
    from kfn.api.serving import API_VERSION
    from kfn.api.shapes import Selector
    from kfn.api.sinkbinding import Subject

    parts = text.split(":", 2)
    if len(parts) == 2 and parts[0] == "ksvc" and parts[1]:
        return Subject(API_VERSION, "Service", name=parts[1])
    if len(parts) != 3 or not all(parts):
        form = "ksvc:NAME, KIND:APIVERSION:NAME or KIND:APIVERSION:LABEL=VALUE,..., for example Deployment:apps/v1:shop"
        raise CliError(f"--subject {text!r} is none: write {form}", 2)
    kind, api_version, which = parts
    if "=" not in which:
        return Subject(api_version, kind, name=which)
    return Subject(api_version, kind, selector=Selector(sourced.pairs(tuple(which.split(",")), "--subject", "app=shop")))


def _shown(one: "SinkBinding") -> str:
    from kfn.binding import query

    subject = one.spec.subject
    return f"{subject.kind}:{subject.api_version}:{subject.name or (query(subject.selector) if subject.selector else '')}"


def _overrides(one: "SinkBinding | ContainerSource") -> list[tuple[str, str]]:
    return [("Overrides", ", ".join(f"{name}={value}" for name, value in one.spec.extensions.items()))] if one.spec.extensions else []


def _images(one: "ContainerSource") -> str:
    pod = one.spec.template.get("spec") or {}
    return ", ".join(str(container.get("image", "")) for container in pod.get("containers") or ())


def _binding_fields(one: "SinkBinding") -> list[tuple[str, str]]:
    return [("Subject", _shown(one)), *_overrides(one)]


def _binding_cells(one: "SinkBinding", wide: bool) -> dict[str, str]:
    return sourced.row(one, SUBJECT=_shown(one))


def _container_fields(one: "ContainerSource") -> list[tuple[str, str]]:
    return [("Image", _images(one)), *_overrides(one)]


def _container_cells(one: "ContainerSource", wide: bool) -> dict[str, str]:
    return sourced.row(one, IMAGE=_images(one))


_ANEW = "Their subjects lose the address, and are rolled out anew."
sourced.looking(binding, "SINK_BINDING", "sink binding", _binding_cells, _binding_fields, _ANEW)
sourced.looking(container, "CONTAINER_SOURCE", "container source", _container_cells, _container_fields, "What they run ends.")
