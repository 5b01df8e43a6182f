"""`make bench`, or `python -m tests.benchmarks [NAME...]`: run the benchmarks one after the other, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MISSING = 2  # a program that it needs is not installed; it has said so, and the others go on


def main() -> int:
    known = sorted(p.stem for p in HERE.glob("*.py") if not p.stem.startswith("_"))
    asked = sys.argv[1:] or known
    if unknown := [name for name in asked if name not in known]:
        print(f"no benchmark {unknown[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    worst = 0
    for name in asked:
        print(f"\n== {name}", flush=True)
        code = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=False).returncode
        if code not in (0, MISSING):
            return code
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
