"""Delete the Revisions of a Configuration that are old and unused: load, plan, apply."""

from controller import apply
from controller.gc.plan import plan
from controller.world import World
from kfn.api import kinds
from kfn.kube.reconcile import Done


async def reconcile(world: World, key: str) -> Done:
    namespace, _, name = key.partition("/")
    configuration = world.configurations.get(namespace, name)
    if configuration is None or configuration.metadata.deletion_timestamp:
        return Done()
    # Only what a route has let go is in the reserve, but labels come late: ask the routes too.
    revisions = [r for r in world.revisions_of_configuration(configuration) if not world.routes_to_revision(namespace, r.metadata.name)]
    wanted = plan(configuration, revisions, world.settings, world.now())
    for revision in wanted.delete:
        await apply.remove(world.client, kinds.REVISION, revision)
    return Done(again_after=wanted.look_again)
