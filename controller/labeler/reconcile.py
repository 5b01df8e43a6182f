"""Keep a Revision's routing state true: load, plan, apply."""

from controller import apply
from controller.labeler.plan import plan
from controller.world import World
from kfn.api import kinds, names
from kfn.kube.reconcile import Done


async def reconcile(world: World, key: str) -> Done:
    namespace, _, name = key.partition("/")
    revision = world.revisions.get(namespace, name)
    if revision is None or revision.metadata.deletion_timestamp:
        return Done()
    configuration = world.configurations.get(namespace, revision.metadata.labels.get(names.CONFIGURATION, ""))
    patch = plan(revision, world.routes_to_revision(namespace, name), configuration, world.now())
    if patch is not None:
        await apply.annotate(world.client, kinds.REVISION, revision, patch)
    return Done()
