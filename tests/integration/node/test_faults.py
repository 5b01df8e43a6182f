"""What goes wrong with an instance, and what its pod then says."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio

from kfn.api import kinds
from kfn.api.core import Pod
from tests.integration.node.platform import get, platform, ready
from tests.integration.node.test_node import HELLO
from tests.integration.node.test_zygote import alive, gone

QUICK = {"backoff_first": 0.2, "pull_backoff_first": 0.05}


def condition(pod: Pod, type_: str) -> tuple[str, str]:
    return next(((c.status, c.message) for c in pod.status.conditions if c.type == type_), ("", ""))


def waiting(pod: Pod) -> tuple[str, str]:
    """Reason and message of the container's waiting state."""
    states = [s.state.waiting for s in pod.status.container_statuses if s.state.waiting]
    return (states[0].reason, states[0].message) if states else ("", "")


def restarts(pod: Pod) -> int:
    return sum(s.restart_count for s in pod.status.container_statuses)


async def test_a_function_that_fails_at_import_is_restarted_with_back_off_and_says_why(tmp_path: Path) -> None:
    async with platform(tmp_path, **QUICK) as p:
        await p.deploy(p.image({"func.py": "raise ValueError('no licence file')"}))
        pod = await p.pod_when(lambda pod: restarts(pod) >= 2)
        [status] = pod.status.container_statuses
        last = status.last_state.terminated
        assert last and last.exit_code == 1 and last.reason == "Error"
        assert "ValueError: no licence file" in last.message
        assert not ready(pod)
        pod = await p.pod_when(lambda pod: waiting(pod)[0] == "CrashLoopBackOff")
        assert "no licence file" in await p.log(pod)
        previous = await p.log(pod, previous=True)
        assert "no licence file" in previous


async def test_an_instance_that_never_listens_says_so(tmp_path: Path) -> None:
    async with platform(tmp_path, listen_patience=0.2) as p:
        await p.deploy("busybox", command=["sleep", "60"])
        pod = await p.pod_when(lambda pod: "nothing listens" in condition(pod, "ContainersReady")[1])
        status, message = condition(pod, "ContainersReady")
        assert status == "False"
        assert "($PORT) after 0.2 seconds" in message
        assert pod.status.phase == "Running"
        [piece] = await p.slices()
        assert piece.endpoints[0].conditions.ready is False


async def test_an_image_that_is_not_here_is_named_with_what_to_do(tmp_path: Path) -> None:
    async with platform(tmp_path, **QUICK) as p:
        await p.deploy("docker.io/library/nginx:latest")
        pod = await p.pod_when(lambda pod: waiting(pod)[0] == "ImagePullBackOff")
        assert "kfn deploy" in waiting(pod)[1] and "nginx" in waiting(pod)[1]
        assert pod.status.phase == "Pending"


async def test_a_missing_secret_is_named_and_the_pod_starts_once_it_is_there(tmp_path: Path) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "POD", "value": "$(TOKEN)-x"}]
    source = {"func.py": "import os\ndef handle(request):\n    return os.environ['POD']\n"}
    async with platform(tmp_path, **QUICK) as p:
        await p.deploy(p.image(source), env=env)
        pod = await p.pod_when(lambda pod: waiting(pod)[1] != "")
        assert waiting(pod) == ("CreateContainerConfigError", 'env TOKEN: secret "s" not found')
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}, "stringData": {"k": "hush"}}
        await p.client.create(kinds.SECRET, secret, "default")
        await p.pod_when(ready)
        assert "hush-x" in await get((await p.slices())[0])


async def test_a_killed_instance_comes_back_at_once(tmp_path: Path) -> None:
    source = {"func.py": "import os\ndef handle(request):\n    return str(os.getpid())\n"}
    async with platform(tmp_path) as p:
        await p.deploy(p.image(source))
        await p.pod_when(ready)
        pid = int((await get((await p.slices())[0])).split()[-1])
        os.kill(pid, signal.SIGKILL)
        pod = await p.pod_when(lambda pod: ready(pod) and restarts(pod) == 1)
        last = pod.status.container_statuses[0].last_state.terminated
        assert last and last.exit_code == 137
        assert int((await get((await p.slices())[0])).split()[-1]) != pid


async def test_an_instance_that_ignores_sigterm_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        await p.deploy("busybox", command=["sh", "-c", "trap '' TERM; echo $$$$; sleep 300 & wait; sleep 300"], ports=None)
        pod = await p.pod_when(ready)
        with anyio.fail_after(30):
            while not (text := await p.log(pod)):
                await anyio.sleep(0.01)
        pid = int(text)
        assert alive(pid)
        await p.client.delete(kinds.POD, pod.metadata.name, "default", grace_seconds=1)
        with anyio.fail_after(30):
            while any(q.metadata.name == pod.metadata.name for q in await p.pods()):
                await anyio.sleep(0.01)
        assert await gone(pid)


async def test_a_failing_readiness_probe_takes_the_instance_out(tmp_path: Path) -> None:
    flag = tmp_path / "well"
    flag.touch()
    probe = {"exec": {"command": ["test", "-e", str(flag)]}, "periodSeconds": 1, "failureThreshold": 1}
    async with platform(tmp_path) as p:
        await p.deploy(p.image(HELLO), readinessProbe=probe)
        await p.pod_when(ready)
        flag.unlink()
        pod = await p.pod_when(lambda pod: not ready(pod))
        assert "Readiness probe failed" in condition(pod, "Ready")[1]
        [piece] = await p.slices()
        assert piece.endpoints[0].conditions.ready is False
        flag.touch()
        await p.pod_when(ready)


async def test_a_failing_liveness_probe_restarts_the_container(tmp_path: Path) -> None:
    probe = {"httpGet": {"path": "/nowhere", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    source = {"func.py": "def handle(request):\n    raise ValueError('x')\n"}
    async with platform(tmp_path) as p:
        await p.deploy(p.image(source), livenessProbe=probe)
        await p.pod_when(lambda pod: restarts(pod) >= 1)
        said: list[str] = []
        with anyio.move_on_after(30):
            while "Liveness probe failed: HTTP probe failed with statuscode: 500" not in said:
                said = [e.message for e in (await p.client.list(kinds.EVENT, "default"))[0]]
                await anyio.sleep(0.02)
        assert "Liveness probe failed: HTTP probe failed with statuscode: 500" in said


PARENT = """
import os, subprocess
child = subprocess.Popen(['sleep', '300'])
def handle(request):
    return f'{os.getpid()} {child.pid}'
"""
NODE = """
import asyncio, sys
from pathlib import Path
from tests.integration.node.platform import platform, ready, get
async def main():
    async with platform(Path(sys.argv[1])) as p:
        await p.deploy(p.image({"func.py": sys.argv[2]}))
        await p.pod_when(ready)
        text = await get((await p.slices())[0])
        print(text.split()[-2], text.split()[-1], flush=True)
        await asyncio.sleep(300)
asyncio.run(main())
"""


async def test_kill_minus_9_of_the_platform_takes_instances_and_their_children_with_it(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", NODE, str(tmp_path), PARENT], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    try:
        assert process.stdout
        line = await anyio.to_thread.run_sync(process.stdout.readline)
        pids = [int(word) for word in line.split()]
        assert len(pids) == 2 and all(map(alive, pids))
    finally:
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout else None
    for pid in pids:
        assert await gone(pid)


async def test_what_an_earlier_run_left_is_ended_at_start(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:
        mark = (p.settings.data / "node.id").read_text()
    stray = subprocess.Popen(["sleep", "300"], env={"KFN_NODE": mark, "PATH": os.environ["PATH"]})
    other = subprocess.Popen(["sleep", "300"], env={"KFN_NODE": "another", "PATH": os.environ["PATH"]})
    try:
        async with platform(tmp_path):
            assert stray.wait(timeout=30) == -signal.SIGKILL
            assert other.poll() is None
    finally:
        for process in (stray, other):
            process.kill()
            process.wait()


async def test_at_the_node_s_end_instances_get_to_finish(tmp_path: Path) -> None:
    mark, begun = tmp_path / "mark", tmp_path / "begun"
    script = f"trap 'sleep 0.2; echo done > {mark}; exit' TERM; touch {begun}; while true; do sleep 0.02; done"
    async with platform(tmp_path) as p:
        await p.deploy("busybox", command=["sh", "-c", script], ports=None)
        await p.pod_when(ready)
        with anyio.fail_after(30):
            while not begun.exists():
                await anyio.sleep(0.02)
    assert mark.read_text() == "done\n"


async def test_a_runtime_that_does_not_import_is_said_in_the_pod_and_ends_nothing_else(tmp_path: Path) -> None:
    async with platform(tmp_path, imports=("no.such.module",), **QUICK) as p:
        await p.deploy(p.image(HELLO))
        pod = await p.pod_when(lambda pod: restarts(pod) >= 1)
        over = pod.status.container_statuses[0].last_state.terminated
        assert over and over.reason == "StartError" and "No module named 'no'" in over.message
        await p.deploy("busybox", name="other", command=["sleep", "60"], ports=None)
        await p.pods_when(lambda pods: any(map(ready, pods)))


async def test_an_interpreter_that_is_not_here_is_named_with_what_to_do(tmp_path: Path) -> None:
    async with platform(tmp_path, **QUICK) as p:
        await p.deploy(p.image(HELLO, python="3.99.1"))
        pod = await p.pod_when(lambda pod: waiting(pod)[0] == "CreateContainerError")
        assert "needs Python 3.99" in waiting(pod)[1] and "uv python install 3.99" in waiting(pod)[1]


async def test_a_memory_limit_is_kept(tmp_path: Path) -> None:
    source = {"func.py": "x = bytearray(600 << 20)\ndef handle(request):\n    return 'x'\n"}
    async with platform(tmp_path, **QUICK) as p:
        await p.deploy(p.image(source), resources={"limits": {"memory": "200Mi"}})
        pod = await p.pod_when(lambda pod: restarts(pod) >= 1)
        over = pod.status.container_statuses[0].last_state.terminated
        assert over and over.reason in ("Error", "OOMKilled")
        assert over.reason == "OOMKilled" or "MemoryError" in over.message


async def test_a_full_node_starts_no_more(tmp_path: Path) -> None:
    async with platform(tmp_path, max_pods=2) as p:
        await p.deploy("busybox", command=["sleep", "60"], ports=None, replicas=5)
        await p.pods_when(lambda pods: sum(map(ready, pods)) == 2)
        await anyio.sleep(0.1)
        assert len(await p.pods()) == 2


async def test_an_instance_whose_warm_parent_is_killed_again_and_again_is_back_at_once(tmp_path: Path) -> None:
    async with platform(tmp_path) as p:  # with the back-off of 10 seconds that a crash of its own would bring
        await p.deploy(p.image(HELLO))
        pod = await p.pod_when(ready)
        for round_ in (1, 2, 3):
            warm = next(z for z in p.node.zygotes if z.children)
            os.kill(warm.pid, signal.SIGKILL)
            with anyio.fail_after(9):  # less than that back-off
                pod = await p.pod_when(lambda pod, wanted=round_: restarts(pod) == wanted and ready(pod))
        assert waiting(pod) == ("", "")


async def test_a_volume_whose_inside_makes_no_sense_is_named(tmp_path: Path) -> None:
    async with platform(tmp_path, **QUICK) as p:
        await p.deploy(p.image(HELLO), replicas=0)
        for volume in ({"name": "odd", "secret": 5}, {"name": "odd", "projected": {"sources": [7]}}, {"name": "odd", "hostPath": "x"}):
            spec = {"replicas": 1, "template": {"spec": {"volumes": [volume]}}}
            await p.client.patch(kinds.DEPLOYMENT, "hello-deployment", "default", {"spec": spec})
            await p.pod_when(lambda pod: "volume odd is malformed" in waiting(pod)[1])
            await p.scale(0)
            await p.pods_when(lambda pods: not pods)
