"""`python -m tests.cluster`: a real Kubernetes on this machine for tests. docs/cluster-testing.md says how to use it."""

import argparse
import shlex
import sys
from pathlib import Path

from tests.cluster import lifecycle, tools
from tests.cluster.layout import Layout, cluster_name
from tests.cluster.shell import Failed


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster", description=__doc__, epilog="KFN_CLUSTER names the cluster; default kfn."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start it, or repair what is dead")
    start.add_argument("--nodes", type=int, default=1, metavar="N")
    commands.add_parser("down", help="end it and remove all of it")
    commands.add_parser("status", help="what runs; exit code 1 if something does not")
    commands.add_parser("env", help="lines for a shell: eval $(python -m tests.cluster env)")
    load = commands.add_parser("load", help="import an image's archive on every node")
    load.add_argument("archive", type=Path)
    names = commands.add_parser("domain", help="let pods resolve every name under a domain to an address; without one, no longer")
    names.add_argument("name")
    names.add_argument("address", nargs="?", default="")
    build = commands.add_parser("tools", help="build the programs that are absent: all, or those named")
    build.add_argument("names", nargs="*")
    commands.add_parser("fit", help="exit code 0 if a cluster can be started here, else why not")
    asked = parser.parse_args()
    try:
        return _do(asked)
    except Failed as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 1


def _do(asked: argparse.Namespace) -> int:
    name = cluster_name()
    if asked.command == "up":
        _print_env(lifecycle.up(name, asked.nodes))
    elif asked.command == "down":
        lifecycle.down(name)
    elif asked.command == "tools":
        known = {tool.name: tool for tool in (*tools.CLUSTER, *tools.CLIENTS)}
        if unknown := set(asked.names) - set(known):
            raise Failed(f"{', '.join(sorted(unknown))}: known are {', '.join(known)}")
        tools.ensure(tuple(known[one] for one in asked.names or known))
    elif asked.command == "fit":
        why = lifecycle.unfit()
        print(why or "a cluster can be started here")
        return int(bool(why))
    else:
        cluster = lifecycle.existing(name)
        if not cluster:
            raise Failed(f"there is no cluster {name}: make cluster-up")
        if asked.command == "env":
            _print_env(cluster)
        elif asked.command == "load":
            lifecycle.load(cluster, asked.archive)
        elif asked.command == "domain":
            lifecycle.domain(cluster, asked.name, asked.address)
        else:
            return int(not lifecycle.status(cluster))
    return 0


def _print_env(cluster: Layout) -> None:
    for key, value in lifecycle.env(cluster).items():
        print(f"export {key}={shlex.quote(value)}")


if __name__ == "__main__":
    sys.exit(main())
