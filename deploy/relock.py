"""Write the locks of kfn's own images anew: what pyproject.toml asks for, in the versions of constraints.txt, with the hashes of the index.

    python -m deploy.relock        (make relock)

tests/unit/builder/test_kfn_images.py fails where a lock and those two files differ.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from builder.kfn_images.recipes import LOCKS, wanted
from builder.python.uv import binary

ROOT = Path(__file__).parents[1]


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, file in LOCKS.items():
        names = [re.match(r"[A-Za-z0-9._-]+", line)[0] for line in wanted(name, project)]  # type: ignore[index]
        argv = [binary(), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--universal", "--generate-hashes", "--no-build"]
        argv += ["--python", sys.executable, "--python-version", "3.13", "--no-emit-index-url", "--no-emit-find-links"]
        argv += ["--constraint", str(ROOT / "constraints.txt"), "-"]
        made = subprocess.run(argv, input="\n".join(names), capture_output=True, text=True, check=False)
        if made.returncode:
            raise SystemExit(f"{file.name}: {made.stderr.strip()}")
        file.write_text(f"# The packages of kfn's own images, part {name}. Written by `make relock`.\n{made.stdout}")
        print(f"{file.name}: {len(re.findall('^[a-z].*==', made.stdout, re.MULTILINE))} packages")


if __name__ == "__main__":
    main()
