"""A copy of the source for a program that reads files: what it sees is what was hashed, and nothing that the ignore rules left out."""

from pathlib import Path

from builder.sources.source import Source, open_file


def stage(source: Source, root: Path) -> None:
    """Write every file and link below `root`, with the modes that an image has. Blocks. Raises BadEntry if a file changed meanwhile."""
    for file in source.files:
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.link:
            target.symlink_to(file.link)
            continue
        with open_file(source.root, file) as read, target.open("wb") as write:
            while chunk := read.read(1 << 20):
                write.write(chunk)
        target.chmod(0o755 if file.executable else 0o644)
