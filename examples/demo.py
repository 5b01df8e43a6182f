"""The main job on real input: deploy two functions, reach one from zero by HTTP, wake the other from zero by events.

Runs a platform of its own on free ports in a temporary directory and takes it away again. `make demo` calls it.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent
KFN = [sys.executable, "-m", "cli.main"]

SENTENCES = {
    "a1": "A man is eating food.",
    "a2": "A man is eating a piece of bread.",
    "b1": "The central bank raised interest rates by half a point.",
    "b2": "Borrowing became dearer after the rate decision.",
    "c1": "A cheetah is running behind its prey.",
    "c2": "A big cat chases an antelope across the savannah.",
}
RELATED = [("a1", "a2"), ("b1", "b2"), ("c1", "c2")]
UNRELATED = [("a1", "b1"), ("a1", "c2"), ("b2", "c1")]


class Platform:
    """`kfn up` as a child, in a directory that is removed at the end."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.log = (data.parent / "platform.log").open("w+")
        self.process = subprocess.Popen(
            [*KFN, "up", "--port", "0", "--data-dir", str(data)], stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.env = {**os.environ, "KUBECONFIG": str(data / "kubeconfig")}

    def wait_ready(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            self.log.seek(0)
            sys.exit(f"the platform did not start:\n{self.log.read()}")
        return line.strip()

    def kfn(self, *args: str, quiet: bool = False) -> str:
        """Run a kfn command; its standard output is returned, its progress shown."""
        if not quiet:
            print(f"\n$ kfn {' '.join(args)}", flush=True)
        done = subprocess.run(
            [*KFN, *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"kfn {' '.join(args)} failed ({done.returncode}): {done.stderr or ''}")
        if not quiet and done.stdout:
            print(done.stdout.rstrip(), flush=True)
        return done.stdout

    def wait_zero(self, *functions: str) -> float:
        """Seconds until none of the functions has an instance."""
        start = time.monotonic()
        while time.monotonic() - start < 60:
            revisions = json.loads(self.kfn("revisions", "-o", "json", quiet=True) or "{}").get("items", [])
            alive = [r for r in revisions if r["metadata"]["labels"]["serving.knative.dev/service"] in functions]
            if not any(r["status"].get("actualReplicas") or r["status"].get("desiredReplicas") for r in alive):
                return time.monotonic() - start
            time.sleep(0.2)
        sys.exit(f"{', '.join(functions)} did not go to zero within a minute")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


def main() -> None:
    start = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="kfn-demo-"))
    platform = Platform(root / "data")
    try:
        print(platform.wait_ready())
        steps(platform)
    finally:
        platform.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(f"\nDone in {time.monotonic() - start:.0f} s.")


def steps(platform: Platform) -> None:
    platform.kfn("deploy", str(EXAMPLES / "hello"))
    platform.kfn("deploy", str(EXAMPLES / "embed"))
    broker = platform.kfn("broker", "create", "default").strip()
    platform.kfn("trigger", "create", "embed", "--broker", "default", "--filter", "type=com.example.sentence", "--sink", "ksvc:embed")

    print("\nBoth functions are idle now; waiting until they are at zero.", flush=True)
    print(f"At zero after {platform.wait_zero('hello', 'embed'):.1f} s.")

    platform.kfn("invoke", "hello", "-d", '{"name": "world"}', "--timing")
    print(f"\nhello is at zero again after {platform.wait_zero('hello'):.1f} s.")

    print(f"\nPublishing {len(SENTENCES)} sentences as CloudEvents; they wake embed from zero.", flush=True)
    vectors = embed(platform, broker)
    report(vectors)


def embed(platform: Platform, broker: str) -> dict[str, list[float]]:
    """Publish every sentence, and collect the reply events from the broker."""
    tail = subprocess.Popen(
        [*KFN, "events", "tail", "--filter", "type=com.example.sentence.embedded", "--since", "1m", "--count", str(len(SENTENCES))],
        env=platform.env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    bound = threading.Timer(60, tail.kill)
    bound.start()
    try:
        first = time.monotonic()
        for name, text in SENTENCES.items():
            publish(broker, {"id": name, "text": text})
        assert tail.stdout is not None
        vectors: dict[str, list[float]] = {}
        for line in tail.stdout:
            event: dict[str, Any] = json.loads(line)
            vectors[event["data"]["id"]] = event["data"]["embedding"]
        tail.wait()
    finally:
        bound.cancel()
        tail.kill()
        tail.stdout and tail.stdout.close()
    if set(vectors) != set(SENTENCES):
        sys.exit(f"replies are missing: {sorted(set(SENTENCES) - set(vectors))}")
    print(f"{len(vectors)} embeddings came back as events in {time.monotonic() - first:.1f} s.")
    return vectors


def publish(broker: str, data: dict[str, str]) -> None:
    """POST one CloudEvent, in binary mode, as any HTTP client can; 202 says that it is on disk."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": data["id"],
        "ce-source": "/demo",
        "ce-type": "com.example.sentence",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(broker, data=json.dumps(data).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        if answer.status != 202:
            sys.exit(f"the broker answered {answer.status}")


def report(vectors: dict[str, list[float]]) -> None:
    """Print the similarities; fail unless every related pair is closer than every unrelated one."""

    def cosine(pair: tuple[str, str]) -> float:
        a, b = (vectors[name] for name in pair)
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    print("\nCOSINE   SENTENCES")
    for pairs, kind in ((RELATED, "related"), (UNRELATED, "unrelated")):
        for pair in pairs:
            print(f"{cosine(pair):6.3f}   {SENTENCES[pair[0]]} | {SENTENCES[pair[1]]}   ({kind})")
    if min(map(cosine, RELATED)) <= max(map(cosine, UNRELATED)):
        sys.exit("related sentences are not closer than unrelated ones: the model does not work")


if __name__ == "__main__":
    main()
