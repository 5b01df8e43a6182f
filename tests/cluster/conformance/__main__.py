"""`make conformance`: Knative Serving's own conformance suite against kfn on a real cluster. docs/conformance.md has the last run.

    python -m tests.cluster.conformance            every run, and docs/conformance.md is written anew
    python -m tests.cluster.conformance --check    one run with everything on; fails if a test of expected.txt does not pass (for CI)

kfn is installed first, unless --gateway and --domain say where one runs already. The exit code is 1 if what was expected to pass does not.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.cluster import installing
from tests.cluster.conformance import images, process, suite, world
from tests.cluster.conformance.report import written
from tests.cluster.conformance.results import Outcome, Result, count, worse
from tests.cluster.shell import Failed, say, step

HERE = Path(__file__).parent
ALWAYS = ("-resolvabledomain", "-disable-logstream")
RUNS = {
    "Cloud Run's flags": (*ALWAYS, "-disable-optional-api"),
    "with optional API": ALWAYS,
    "with optional API and beta": (*ALWAYS, "-enable-beta"),
}
WITHIN = 20 * 60.0  # seconds for one run of one package; a free machine needs one to two minutes
AT_ONCE = 6


@dataclass(frozen=True)
class Place:
    """Where kfn is: the suite is told all of it by flags and by its name server."""

    kubeconfig: str
    registry: str
    gateway: str
    domain: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.conformance", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="one run with everything on, compared with expected.txt; writes no document")
    parser.add_argument("--gateway", metavar="IP", help="kfn runs already, and takes requests there on port 80")
    parser.add_argument("--domain", help="and its functions are NAME.NAMESPACE.DOMAIN")
    parser.add_argument("--run", metavar="REGEXP", default="", help="only these tests; writes no document")
    parser.add_argument("--parallel", type=int, default=AT_ONCE, metavar="N", help=f"tests at once; default {AT_ONCE}")
    parser.add_argument("--packages", default=",".join(suite.PACKAGES), help="default: %(default)s")
    asked = parser.parse_args()
    try:
        return _do(asked)
    except Failed as failed:
        say(f"error: {failed}")
        return 1


def _do(asked: argparse.Namespace) -> int:
    compiled = suite.ensure()
    place = _place(asked)
    kubectl = world.program_of(installing.program("kubectl"), {**os.environ, "KUBECONFIG": place.kubeconfig})
    prefix = f"{place.registry}/conformance"
    anyio.run(images.push_all, compiled, prefix, place.registry)
    nameserver = world.resolver(place.domain, place.gateway)
    titles = list(RUNS)[-1:] if asked.check or asked.run else list(RUNS)
    results: dict[str, list[Result]] = {}
    begin = time.monotonic()
    with world.prepared(kubectl):
        for title in titles:
            with step(f"run {title}"):
                results[title] = _run(asked, compiled, place, prefix, nameserver, title)
            say(", ".join(f"{number} {outcome}" for outcome, number in count(results[title]).items()))
    took = time.monotonic() - begin
    if not (asked.check or asked.run):
        target = HERE.parents[2] / "docs" / "conformance.md"
        target.write_text(written(results, RUNS, took, kubectl("version", "-o", "json")))
        say(f"wrote {target.relative_to(HERE.parents[2])}")
    if asked.run:
        return int(any(one.outcome is Outcome.FAILED for one in results[titles[-1]]))
    expected = (HERE / "expected.txt").read_text().split()
    wrong = worse(results[titles[-1]], expected)
    for line in wrong:
        say(f"was to pass: {line}")
    say(f"{len(expected) - len(wrong)} of {len(expected)} expected to pass did; {took:.0f} s for {len(titles)} run(s)")
    return int(bool(wrong))


def _run(asked: argparse.Namespace, compiled: suite.Suite, place: Place, prefix: str, nameserver: str, title: str) -> list[Result]:
    found = []
    for package in asked.packages.split(","):
        flags = [f"-test.parallel={asked.parallel}", f"-kubeconfig={place.kubeconfig}", f"-dockerrepo={prefix}", *RUNS[title]]
        flags += [f"-test.run={asked.run}"] if asked.run else []
        log = world.log_folder() / f"{title.lower().replace(' ', '-').replace(chr(39), '')}-{package}.log"
        env = {"SYSTEM_NAMESPACE": "kfn-system", "KUBECONFIG": place.kubeconfig}
        say(f"{title}, {package}: log in {log}")
        results = process.run(compiled.test(package), flags, env, log, WITHIN, nameserver)
        if not results:
            raise Failed(f"{package}: the test program ended without a test; its log is {log}")
        found += results
    return found


def _place(asked: argparse.Namespace) -> Place:
    if asked.gateway:
        if not (asked.domain and os.environ.get("KUBECONFIG") and os.environ.get("KFN_TEST_REGISTRY")):
            raise Failed("--gateway needs --domain, and KUBECONFIG and KFN_TEST_REGISTRY in the environment")
        return Place(os.environ["KUBECONFIG"], os.environ["KFN_TEST_REGISTRY"], asked.gateway, asked.domain)
    from tests.cluster import platform

    installed = platform.up()
    host, port = installed.gateway
    if port != 80:
        raise Failed(
            f"kfn-gateway is at {host}:{port} from here, but the suite asks on port 80: run it where the cluster's Services are reached"
        )
    return Place(installed.kubeconfig, installed.registry, host, installed.domain)


if __name__ == "__main__":
    sys.exit(main())
