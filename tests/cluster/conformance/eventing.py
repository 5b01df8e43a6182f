"""`make conformance-eventing`: Knative Eventing's own conformance tests of Brokers and Channels against kfn on a real cluster.

    python -m tests.cluster.conformance.eventing            both tests; docs/conformance-eventing.md is written anew
    python -m tests.cluster.conformance.eventing --check    fails if what is in expected-eventing.txt does not pass (for CI)

The tests and their one image, eventshub, are compiled once per machine from the published module, in its own folder of the module cache.
No source of it is here.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.cluster import installing, published
from tests.cluster.conformance import eventing_report, eventing_world, images, process, world
from tests.cluster.conformance.results import Outcome, worse
from tests.cluster.layout import cache_folder
from tests.cluster.shell import Failed, say, step

HERE = Path(__file__).parent
MODULE, VERSION, COMMIT = "knative.dev/eventing", "v0.50.0", "d6139ffb2175b4a7387f56a8b2c589a17c631719"
HUB = "knative.dev/reconciler-test/cmd/eventshub"
TESTS = ("TestBrokerConformance", "TestChannelConformance")
CHANNEL = "InMemoryChannel.messaging.knative.dev"
AT_ONCE = (
    4  # steps of one test wait for each other: with as many as there are cores some tests outside of these two hang on a small machine
)
WITHIN = 60 * 60.0  # seconds; the tests wait in steps of 5 s, one after the other, and need 20 minutes on two busy cores


@dataclass(frozen=True)
class Suite:
    folder: Path

    @property
    def test(self) -> Path:
        return self.folder / "rekt"

    def images(self) -> dict[str, Path]:
        return {"eventshub": self.folder / "eventshub"}


def ensure() -> Suite:
    """The compiled suite, from the cache or made now."""
    suite = Suite(cache_folder() / "tools" / f"knative-eventing-conformance-{VERSION.removeprefix('v')}")
    if suite.test.exists() and all(program.exists() for program in suite.images().values()):
        return suite
    suite.folder.parent.mkdir(parents=True, exist_ok=True)
    source = published.source(MODULE, VERSION, COMMIT)
    say(f"         compiling the conformance tests of {MODULE} {VERSION} ...")
    small = ("-trimpath", "-ldflags", "-s -w", "-o")
    with step(f"compiled {suite.folder.name}"), tempfile.TemporaryDirectory(prefix=".new-", dir=suite.folder.parent) as aside:
        out = Path(aside) / "built"
        out.mkdir()
        published.go(source, "test", "-c", "-tags", "e2e", *small, str(out / "rekt"), "./test/rekt")
        published.go(source, "build", *small, str(out / "eventshub"), HUB)
        out.rename(suite.folder)
    return suite


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.conformance.eventing", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with expected-eventing.txt; writes no document")
    parser.add_argument("--run", metavar="REGEXP", default="", help="only these tests; writes no document")
    parser.add_argument("--feature", metavar="REGEXP", default="", help="only these features of them; writes no document")
    asked = parser.parse_args()
    try:
        return _do(asked)
    except Failed as failed:
        say(f"error: {failed}")
        return 1


def _do(asked: argparse.Namespace) -> int:
    from tests.cluster import platform

    suite = ensure()
    installed = platform.up()
    kubectl = world.program_of(installing.program("kubectl"), {**os.environ, "KUBECONFIG": installed.kubeconfig})
    pushed = anyio.run(images.push_all, suite, f"{installed.registry}/conformance", installed.registry)
    begin, log = time.monotonic(), world.log_folder() / "eventing.log"
    producer = log.with_name("eventing-images.yaml")
    producer.write_text(json.dumps({HUB: pushed["eventshub"]}))
    flags = [f"-images.producer.file={producer}", "-teardown.on.fail", f"-test.parallel={AT_ONCE}"]
    flags += [f"-test.run={asked.run or '^(' + '|'.join(TESTS) + ')$'}", *([f"-feature={asked.feature}"] if asked.feature else [])]
    env = {
        "KUBECONFIG": installed.kubeconfig,
        "SYSTEM_NAMESPACE": eventing_world.CONFIGS,
        "BROKER_CLASS": "kfn",
        "CHANNEL_GROUP_KIND": CHANNEL,
    }
    say(f"log in {log}")
    with eventing_world.prepared(kubectl, installed.images["kfn"]):
        results = process.run(suite.test, flags, env, log, WITHIN)
    took = time.monotonic() - begin
    for title, count in eventing_report.counts(results).items():
        say(f"{title}: " + ", ".join(f"{number} {found}" for found, number in count.items() if number))
    if asked.run or asked.feature:
        return int(any(one.outcome is Outcome.FAILED for one in results))
    if not asked.check:
        target = HERE.parents[2] / "docs" / "conformance-eventing.md"
        target.write_text(eventing_report.written(results, f"{MODULE} {VERSION}", COMMIT, took, kubectl("version", "-o", "json")))
        say(f"wrote {target.relative_to(HERE.parents[2])}")
    expected = (HERE / "expected-eventing.txt").read_text().split()
    wrong = worse(eventing_report.passed(results), expected)
    for line in wrong:
        say(f"was to pass: {line}")
    say(f"{len(expected) - len(wrong)} of {len(expected)} expected to pass did; {took:.0f} s")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
