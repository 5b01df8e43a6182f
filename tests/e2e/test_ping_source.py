"""PingSources as users of `kn` make them, on `kfn up`."""

from pathlib import Path

from tests.e2e.harness import eventually
from tests.e2e.test_kn import kn_with_image, pytestmark  # noqa: F401 - what skips those skips these

ECHO = "ksvc:hello"


async def test_kn_source_ping_lives_its_whole_life(tmp_path: Path) -> None:
    async with kn_with_image(tmp_path) as kn:
        await kn("service", "create", "hello", "--image", kn.image)
        await kn("broker", "create", "default")
        made = await kn("source", "ping", "create", "beat", "--schedule", "@every 1s", "--data", "hi", "--sink", "broker:default")
        assert "Ping source 'beat' created" in made.out

        async def ready() -> bool:
            described = (await kn("source", "ping", "describe", "beat")).out
            return "++ Ready" in described and "++ SinkProvided" in described

        await eventually(ready, 20, "the source is ready")
        assert "beat" in (await kn("source", "ping", "list")).out
        assert "beat" in (await kn("source", "list")).out
        assert "PingSource" in (await kn("source", "list-types")).out
        await kn("trigger", "create", "t", "--broker", "default", "--filter", "type=dev.knative.sources.ping", "--sink", ECHO)

        async def delivered() -> bool:
            events = await kn.platform.kfn("describe", "hello")
            return "hello" in events.out and "t" in events.out

        await eventually(delivered, 20, "the trigger is there")
        await kn("source", "ping", "update", "beat", "--schedule", "@every 2s", "--sink", ECHO)
        spec = (await kn.json("source", "ping", "describe", "beat"))["spec"]
        assert isinstance(spec, dict)
        assert (spec["schedule"], spec["sink"]["ref"]["kind"]) == ("@every 2s", "Service")
        wrong = await kn.refused("source", "ping", "create", "bad", "--schedule", "61 * * * *", "--data", "hi", "--sink", "broker:default")
        assert "spec.schedule" in wrong
        assert "deleted" in (await kn("source", "ping", "delete", "beat")).out
