"""Ignore files mean what they mean to git: random trees and patterns, and git's own answer beside ours."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.sources.patterns import Patterns, patterns, split

NAMES = ["a", "b", "ab", "abc", "foo", "x.py", "y.so", "dist", "é", "a b", " c", "#h", "!n", "[x]", "A", "z9", "a-b", "a.b", "-d", "foo\\q"]
PARTS = [
    "a", "b", "ab", "foo", "*", "?", "**", "*.py", "*.so", "dist", "[ab]", "[!a]", "[^b]", "[a-z]", "[[:alpha:]]", "[[:digit:]x]", "[]a]",
    "[!]a]", "\\a", "\\*", "\\#h", "\\!n", "é", "a b", "a\\ ", "x*", "*b*", "a?c", "[z-a]", "[a", "[", "a**", "**b", "a*b*c", "\\",
    "[[:bad:]]", "[\\]a]", "-d", "#h", "!n", "\\[x]", "A", "[a/]", "[a-]", "[-a]", "[[:al", "f**/b", "a**/**",
]  # fmt: skip
WHOLE = ["", "/", "!", "!/", "*", "*/", "!*/", "/*", "**", "/**", "**/", "# a"]
TREES, SEEDS = 40, 5


def pattern(chance: random.Random) -> str:
    if chance.random() < 0.05:
        return chance.choice(WHOLE)
    text = "/".join(chance.choice(PARTS) for _ in range(chance.choice([1, 1, 1, 2, 2, 3])))
    text = "/" + text if chance.random() < 0.2 else text
    text = text + "/" if chance.random() < 0.25 else text
    text = text + chance.choice(["/**", "**/x.py", " ", "  ", "\\ ", "\r"]) if chance.random() < 0.1 else text
    text = "**/" + text if chance.random() < 0.1 else text
    return "!" + text if chance.random() < 0.3 else text


def tree(folder: Path, chance: random.Random, depth: int = 0) -> None:
    for _ in range(chance.randint(1, 5)):
        path = folder / chance.choice(NAMES)
        if path.exists():
            continue
        if depth < 3 and chance.random() < 0.5:
            path.mkdir()
            tree(path, chance, depth + 1)
        else:
            path.touch()
    if depth == 0 or chance.random() < 0.2:
        lines = "\n".join(pattern(chance) for _ in range(chance.randint(1, 5)))
        (folder / ".gitignore").write_text(lines + chance.choice(["", "\n"]), newline="")


def ours(root: Path, prefix: str = "", above: tuple[Patterns, ...] = ()) -> list[str]:
    file = root / prefix / ".gitignore"
    here = (patterns(split(file.read_bytes()), prefix), *above) if file.exists() else above
    found: list[str] = []
    for entry in os.scandir(root / prefix):
        path, folder = prefix + entry.name, entry.is_dir()
        said = next((one for some in here if (one := some.decide(path, entry.name, folder)) is not None), False)
        if entry.name != ".git" and not said:
            found += ours(root, f"{path}/", here) if folder else [path]
    return found


def gits(root: Path) -> list[str]:
    argv = ["git", "-C", str(root), "ls-files", "--others", "-z", "--exclude-per-directory=.gitignore"]
    listed = subprocess.run(argv, capture_output=True, check=True).stdout
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_patterns_leave_out_of_random_trees_what_git_leaves_out(tmp_path: Path, seed: int) -> None:
    if not shutil.which("git"):
        pytest.skip("git is not on this machine")
    chance = random.Random(seed)
    for number in range(TREES):
        root = tmp_path / str(number)
        root.mkdir()
        tree(root, chance)
        subprocess.run(["git", "init", "-q", "--template=", str(root)], check=True)
        rules = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob(".gitignore")}
        assert sorted(ours(root)) == sorted(gits(root)), f"tree {number}: {rules}"
