"""Keep a Revision true: load, plan, apply. Who else writes to the Deployment: the autoscaler, its replicas."""

from controller import apply
from controller.owner import Ownership, ownership
from controller.revision import resources
from controller.revision.plan import Seen, plan
from controller.world import World
from kfn.api import kinds, names
from kfn.kube.reconcile import Done

# `selector` cannot be changed, and `replicas` is the autoscaler's from the moment the Deployment exists.
LEAVE = ("replicas", "selector")


async def reconcile(world: World, key: str) -> Done:
    namespace, _, name = key.partition("/")
    revision = world.revisions.get(namespace, name)
    if revision is None or revision.metadata.deletion_timestamp:
        return Done()
    deployment = world.deployments.get(namespace, names.deployment(name))
    foreign = ""
    wanted_deployment = resources.deployment(revision, world.settings)
    if deployment is None or (whose := ownership(deployment.metadata, revision)) is Ownership.OURS:
        await apply.part(world.client, kinds.DEPLOYMENT, wanted_deployment, deployment, leave=LEAVE)
    elif whose is Ownership.FOREIGN:
        foreign = f'Deployment "{deployment.metadata.name}"'
    for wanted in resources.services(revision):
        current = world.core_services.get(namespace, wanted.metadata.name)
        if current is None or (whose := ownership(current.metadata, revision)) is Ownership.OURS:
            await apply.part(world.client, kinds.CORE_SERVICE, wanted, current)
        elif whose is Ownership.FOREIGN:
            foreign = foreign or f'Service "{current.metadata.name}"'
    seen = Seen(revision, deployment or wanted_deployment, world.pods_of_revision(revision), foreign)
    state = plan(seen, world.settings, world.now())
    await apply.show(world.client, kinds.REVISION, revision, state.status)
    return Done(again_after=state.look_again)
