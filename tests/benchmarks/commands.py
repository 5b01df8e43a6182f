"""What a user waits for at the prompt: `kfn --version`, a build, `kfn up`. Beside: an interpreter that does nothing.

python -m tests.benchmarks commands
"""

import asyncio
import itertools
import sys
import tempfile
from pathlib import Path

from tests.benchmarks._measure import Table, compiled, interleaved
from tests.e2e.harness import KFN, Result, function, run, running

HELLO = "def handle(request):\n    return 'ok'\n"


async def main() -> None:
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kfn-bench-") as name, compiled():
        root, numbers = Path(name), itertools.count()
        same, other = function(root / "same", HELLO), function(root / "other", HELLO)

        async def bare() -> Result:
            return await run(sys.executable, "-c", "pass")

        async def version() -> Result:
            return await run(*KFN, "--version")

        async def build(folder: Path) -> Result:
            result = await run(*KFN, "build", str(folder), "--store", str(root / "images"), "-q")
            assert result.code == 0, result.err
            return result

        async def changed() -> Result:
            (other / "func.py").write_text(HELLO + f"# {next(numbers)}\n")
            return await build(other)

        async def up() -> None:
            async with running(root / f"data-{next(numbers)}") as platform:
                assert platform.facts

        took = await interleaved({"bare": bare, "version": version, "same": lambda: build(same), "changed": changed}, 9)
        beside, by = f"python -c pass: {took['bare'].p50 * 1e3:.0f} ms", took["bare"].p50
        table.add("kfn --version", str(took["version"]), "100 ms", beside, took["version"].p50 / by)
        table.add("kfn build, nothing changed", str(took["same"]), "300 ms", beside, took["same"].p50 / by)
        table.add("kfn build, source changed", str(took["changed"]), "500 ms", beside, took["changed"].p50 / by)
        ends = await interleaved({"up": up}, 3)
        table.add("kfn up in a new folder, to ready and down again", str(ends["up"]), "", beside, ends["up"].p50 / by)


if __name__ == "__main__":
    asyncio.run(main())
