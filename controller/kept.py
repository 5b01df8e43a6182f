"""What the local copies keep of an object, where the reconcilers read only a part: a thousand functions are six thousand objects. Pure."""

from typing import Any, TypeVar

from msgspec.structs import replace

from kfn.api import core

T = TypeVar("T")


def whole(obj: T) -> T:
    """All but who last set which field, which is as large as the rest."""
    there: Any = obj
    kept: T = replace(there, metadata=replace(there.metadata, managed_fields=[])) if there.metadata.managed_fields else there
    return kept


def deployment(there: core.Deployment) -> core.Deployment:
    """Of the pod template only the images: it is not written again."""
    pod = there.spec.template.spec
    named = core.PodSpec(containers=[_image(c) for c in pod.containers], init_containers=[_image(c) for c in pod.init_containers])
    return replace(whole(there), spec=replace(there.spec, template=core.PodTemplateSpec(spec=named)))


def pod(there: core.Pod) -> core.Pod:
    """What `revision.evidence` looks at."""
    spec = core.PodSpec(
        containers=[_examined(c) for c in there.spec.containers], init_containers=[_examined(c) for c in there.spec.init_containers]
    )
    return replace(whole(there), spec=spec)


def _image(container: core.Container) -> core.Container:
    return core.Container(name=container.name, image=container.image)


def _examined(container: core.Container) -> core.Container:
    return core.Container(
        name=container.name, image=container.image, resources=container.resources, startup_probe=container.startup_probe,
        restart_policy=container.restart_policy,
    )  # fmt: skip
