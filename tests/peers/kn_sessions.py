"""What users of Knative's `kn` do, from create to delete. The same sessions hold on `kfn up` and on a cluster."""

from tests.e2e.harness import eventually
from tests.peers.knative import Command

# What the session's image runs: it answers with $WORD and the revision that answers.
SOURCE = "import os\ndef handle(request):\n    return os.environ.get('WORD', 'none') + ' ' + os.environ['K_REVISION']\n"


async def whole_life(kn: Command, image: str) -> None:
    created = await kn("service", "create", "hello", "--image", image, "--env", "WORD=one")
    assert "Ready to serve." in created.out
    assert "created to latest revision 'hello-00001'" in created.out
    assert f"http://{kn.host('hello')}" in created.out
    assert await kn.text("hello") == "one hello-00001"
    assert "already exists and no --force" in await kn.refused("service", "create", "hello", "--image", image)

    updated = await kn("service", "update", "hello", "--env", "WORD=two", "--scale", "0..3", "--concurrency-limit", "4")
    assert "updated to latest revision 'hello-00002'" in updated.out
    same = await kn("service", "update", "hello", "--traffic", "@latest=100")  # all but traffic has kn stamp the template with the second
    assert "No new revision has been created" in same.out, "defaulting an object twice changes nothing"
    replaced = await kn("service", "create", "hello", "--image", image, "--env", "WORD=three", "--force")
    assert "replaced to latest revision 'hello-00003'" in replaced.out
    assert await kn.text("hello") == "three hello-00003"

    listed = (await kn("service", "list")).out.splitlines()
    assert listed[1].split()[2:] == ["hello-00003", listed[1].split()[3], "3", "OK", "/", "3", "True"]
    described = (await kn("service", "describe", "hello", "-v")).out
    for words in ("100%  @latest (hello-00003) [3]", "hello-00002 [2]", f"http://hello.{kn.namespace}.svc.cluster.local", "++ Ready"):
        assert words in described
    exported = (await kn("service", "export", "hello", "--with-revisions", "--mode=export", "-o", "yaml")).out
    assert "kind: Export" in exported

    assert "deleted" in (await kn("service", "delete", "hello", "--wait")).out
    assert "No services found" in (await kn("service", "list")).out
    assert 'services.serving.knative.dev "hello" not found' in await kn.refused("service", "delete", "hello")


async def traffic(kn: Command, image: str) -> None:
    await kn("service", "create", "web", "--image", image, "--revision-name", "v1")
    await kn("service", "update", "web", "--env", "WORD=new", "--revision-name", "v2")
    await kn("service", "update", "web", "--traffic", "web-v1=100", "--tag", "@latest=next,web-v1=old")
    assert await kn.text("web") == "none web-v1"
    assert await kn.text("next-web") == "new web-v2"
    await kn("service", "update", "web", "--untag", "old", "--traffic", "@latest=40", "--traffic", "web-v1=60")
    split = (await kn("route", "describe", "web")).out
    assert "40%  @latest (web-v2) #next" in split
    assert "60%  web-v1" in split
    assert "#old" not in split
    answers = [await kn.text("web") for _ in range(20)]
    assert {answers.count("new web-v2"), answers.count("none web-v1")} == {8, 12}, "a split is exact"
    await kn("service", "update", "web", "--untag", "next", "--traffic", "@latest=100")
    assert await kn.text("web") == "new web-v2"

    revisions = (await kn("revision", "list", "-s", "web")).out.splitlines()
    assert [line.split()[0] for line in revisions[1:]] == ["web-v2", "web-v1"]
    assert "Latest Ready:              true" in (await kn("revision", "describe", "web-v2", "-v")).out
    assert "Revision 'web-v1' deleted" in (await kn("revision", "delete", "--prune", "web")).out
    assert len((await kn("revision", "list")).out.splitlines()) == 2
    # kn watches from what it reads after its PUT; where the refusal is there by then, no change follows and kn waits for its timeout.
    await kn.refused("service", "update", "web", "--traffic", "web-v9=100", "--wait-timeout", "15")
    assert "RevisionMissing" in (await kn("service", "describe", "web")).out
    assert await kn.text("web") == "new web-v2", "traffic that cannot be resolved moves nothing"


async def apply(kn: Command, image: str) -> None:
    first = ("service", "apply", "app", "--image", image, "--env", "WORD=a")
    assert "created to latest revision 'app-00001'" in (await kn(*first)).out
    assert "No changes to apply" in (await kn(*first)).out
    changed = await kn("service", "apply", "app", "--image", image, "--env", "WORD=b")
    assert "applied to latest revision 'app-00002'" in changed.out


async def export_and_apply(kn: Command, image: str) -> None:
    """A Service goes into a file and comes back from it."""
    await kn("service", "create", "kept", "--image", image, "--env", "WORD=kept", "--scale-window", "30s")
    file = kn.home / "kept.yaml"
    file.write_text((await kn("service", "export", "kept", "--mode=replay", "-o", "yaml")).out)
    await kn("service", "delete", "kept", "--wait")
    assert "created to latest revision 'kept-00001'" in (await kn("service", "apply", "-f", str(file))).out
    assert await kn.text("kept") == "kept kept-00001"
    assert "No changes to apply" in (await kn("service", "apply", "-f", str(file))).out


async def errors(kn: Command, image: str, missing_image: str, told: str) -> None:
    """`told` is what the platform says of an image that is not there."""
    nothing = await kn.refused("service", "create", "bad", "--image", missing_image, "--wait-timeout", "120")
    assert "RevisionFailed" in nothing
    assert told in nothing
    port = await kn.refused("service", "create", "other", "--image", image, "--port", "70000")
    assert "spec.template.spec.containers[0].ports[0].containerPort" in port
    assert "not found" in await kn.refused("service", "create", "other", "--image", image, "-n", "nowhere")
    for kind, api in (("domain", "Serving"), ("eventtype", "Eventing")):
        assert f"no or newer Knative {api} API found on the backend" in await kn.refused(kind, "list")
    await kn("service", "create", "later", "--image", image, "--no-wait")
    assert "is ready" in (await kn("service", "wait", "later")).out


async def brokers(kn: Command, image: str) -> None:
    await kn("service", "create", "hello", "--image", image)
    await kn("broker", "create", "default")
    assert "default" in (await kn("broker", "list")).out
    made = ("trigger", "create", "t", "--broker", "default", "--filter", "type=a.b", "--sink", "ksvc:hello")
    assert "successfully created" in (await kn(*made)).out
    assert "already exists" in await kn.refused(*made)
    assert '"nothere" not found' in await kn.refused("trigger", "create", "u", "--broker", "default", "--sink", "ksvc:nothere")
    await kn("trigger", "update", "t", "--filter", "type=c.d", "--sink", "broker:default")
    spec = (await kn.json("trigger", "describe", "t"))["spec"]
    assert (spec["filter"], spec["subscriber"]["ref"]["kind"]) == ({"attributes": {"type": "c.d"}}, "Broker")

    async def resolved() -> bool:
        return "++ DeadLetterSinkResolved" in (await kn("broker", "describe", "default")).out

    await eventually(resolved, 60, "the broker's conditions are not there")
    await kn("trigger", "delete", "t")
    await kn("broker", "delete", "default", "--wait")
    assert '"default" not found' in await kn.refused("broker", "delete", "default")


async def channels(kn: Command, image: str) -> None:
    await kn("service", "create", "hello", "--image", image)
    await kn("broker", "create", "default")
    assert "created" in (await kn("channel", "create", "pipe")).out
    assert "pipe" in (await kn("channel", "list")).out
    assert "InMemoryChannel" in (await kn("channel", "list-types")).out
    assert "created" in (await kn("channel", "create", "typed", "--type", "messaging.knative.dev:v1:InMemoryChannel")).out
    assert "InMemoryChannel" in (await kn("channel", "describe", "typed")).out
    made = ("subscription", "create", "s", "--channel", "pipe", "--sink", "ksvc:hello", "--sink-reply", "broker:default")
    assert "created" in (await kn(*made)).out
    assert "already exists" in await kn.refused(*made)

    async def ready() -> bool:
        return "++ Ready" in (await kn("subscription", "describe", "s")).out and "++ Ready" in (await kn("channel", "describe", "pipe")).out

    await eventually(ready, 60, "the subscription is not ready")
    assert "pipe" in (await kn("subscription", "list")).out
    await kn("subscription", "update", "s", "--sink", "broker:default", "--sink-dead-letter", "channel:pipe")
    spec = (await kn.json("subscription", "describe", "s"))["spec"]
    assert (spec["subscriber"]["ref"]["kind"], spec["delivery"]["deadLetterSink"]["ref"]["kind"]) == ("Broker", "Channel")
    assert "deleted" in (await kn("subscription", "delete", "s")).out
    assert "deleted" in (await kn("channel", "delete", "pipe")).out


async def ping(kn: Command, image: str) -> None:
    await kn("service", "create", "hello", "--image", image)
    await kn("broker", "create", "default")
    made = await kn("source", "ping", "create", "beat", "--schedule", "@every 1s", "--data", "hi", "--sink", "broker:default")
    assert "Ping source 'beat' created" in made.out

    async def ready() -> bool:
        described = (await kn("source", "ping", "describe", "beat")).out
        return "++ Ready" in described and "++ SinkProvided" in described

    await eventually(ready, 60, "the source is not ready")
    assert "beat" in (await kn("source", "ping", "list")).out
    assert "beat" in (await kn("source", "list")).out
    assert "PingSource" in (await kn("source", "list-types")).out
    await kn("trigger", "create", "t", "--broker", "default", "--filter", "type=dev.knative.sources.ping", "--sink", "ksvc:hello")

    async def subscribed() -> bool:
        return "++ Ready" in (await kn("trigger", "describe", "t")).out

    await eventually(subscribed, 60, "the trigger is not ready")
    await kn("source", "ping", "update", "beat", "--schedule", "@every 2s", "--sink", "ksvc:hello")
    spec = (await kn.json("source", "ping", "describe", "beat"))["spec"]
    assert (spec["schedule"], spec["sink"]["ref"]["kind"]) == ("@every 2s", "Service")
    wrong = await kn.refused("source", "ping", "create", "bad", "--schedule", "61 * * * *", "--data", "hi", "--sink", "broker:default")
    assert "spec.schedule" in wrong
    assert "deleted" in (await kn("source", "ping", "delete", "beat")).out


async def apiserver(kn: Command) -> None:
    """Without labels: kn (of knative.dev/client 0.50) panics where it shows them, whoever the server is."""
    await kn("broker", "create", "default")
    made = await kn("source", "apiserver", "create", "maps", "--resource", "ConfigMap:v1", "--mode", "Resource", "--sink", "broker:default")
    assert "ApiServer source 'maps' created" in made.out

    async def described() -> bool:
        shown = (await kn("source", "apiserver", "describe", "maps")).out
        return "SinkProvided" in shown and "SufficientPermissions" in shown

    await eventually(described, 60, "the source says nothing")
    assert "ConfigMap:v1" in (await kn("source", "apiserver", "list")).out
    assert "maps" in (await kn("source", "list")).out
    assert "ApiServerSource" in (await kn("source", "list-types")).out
    await kn("source", "apiserver", "update", "maps", "--resource", "Secret:v1", "--mode", "Reference")
    spec = (await kn.json("source", "apiserver", "describe", "maps"))["spec"]
    assert (spec["mode"], spec["serviceAccountName"]) == ("Reference", "default")
    assert {one["kind"] for one in spec["resources"]} >= {"Secret"}
    wrong = await kn.refused("source", "apiserver", "create", "bad", "--resource", "ConfigMap:V 1", "--sink", "broker:default")
    assert "spec.resources[0].apiVersion" in wrong
    assert "deleted" in (await kn("source", "apiserver", "delete", "maps")).out


async def bindings(kn: Command, image: str) -> None:
    await kn("service", "create", "hello", "--image", image)
    await kn("broker", "create", "default")
    made = await kn("source", "binding", "create", "b", "--subject", "Service:serving.knative.dev/v1:hello", "--sink", "broker:default")
    assert "Sink binding 'b' created" in made.out
    ran = await kn("source", "container", "create", "c", "--image", image, "--sink", "broker:default")
    assert "ContainerSource 'c' created" in ran.out

    async def ready() -> bool:
        described = [(await kn("source", kind, "describe", name)).out for kind, name in (("binding", "b"), ("container", "c"))]
        return all("++ Ready" in one for one in described)

    await eventually(ready, 90, "the sources are not ready")
    env = (await kn.json("service", "describe", "hello"))["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "/default" in next(one["value"] for one in env if one["name"] == "K_SINK")
    for kind, name in (("binding", "b"), ("container", "c")):
        assert name in (await kn("source", kind, "list")).out
    listed = (await kn("source", "list")).out
    assert "SinkBinding" in listed and "ContainerSource" in listed
    assert "SinkBinding" in (await kn("source", "list-types")).out
    await kn("source", "binding", "update", "b", "--ce-override", "team=shop")
    assert (await kn.json("source", "binding", "describe", "b"))["spec"]["ceOverrides"]["extensions"] == {"team": "shop"}
    wrong = await kn.refused("source", "binding", "create", "bad", "--subject", "deployment:apps/v1:hello", "--sink", "broker:default")
    assert "spec.subject.kind" in wrong
    for kind, name in (("binding", "b"), ("container", "c")):
        assert "deleted" in (await kn("source", kind, "delete", name)).out

    async def unbound() -> bool:
        container = (await kn.json("service", "describe", "hello"))["spec"]["template"]["spec"]["containers"][0]
        return not any(one["name"] == "K_SINK" for one in container.get("env", []))

    await eventually(unbound, 60, "the function keeps its sink")


async def cluster_local(kn: Command, image: str) -> None:
    inside = f"hello.{kn.namespace}.svc.cluster.local"
    created = await kn("service", "create", "hello", "--image", image, "--cluster-local")
    assert f"http://{inside}" in created.out
    assert await kn.status(kn.host("hello")) == 404
    await kn("service", "update", "hello", "--no-cluster-local")
    assert (await kn.text("hello")).startswith("none hello-")
    await kn("service", "update", "hello", "--cluster-local")
    assert await kn.status(kn.host("hello")) == 404
