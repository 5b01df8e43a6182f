"""Where a file of a Debian package lies in a base, or that it does not: merged /usr, and what no function ever reads is left out. Pure."""

import re

MERGED = ("bin", "sbin", "lib", "lib64")  # names in / that are links into /usr

# Folders, relative to where things lie after merging /usr.
_DROPPED = frozenset({
    "etc/cron.d", "etc/cron.daily", "etc/cron.weekly", "etc/default", "etc/init.d", "etc/logrotate.d", "etc/pam.d", "etc/profile.d",
    "etc/skel", "etc/update-motd.d", "usr/lib/init", "usr/lib/modules-load.d", "usr/lib/systemd", "usr/lib/sysusers.d",
    "usr/lib/tmpfiles.d", "usr/lib/udev", "usr/lib/valgrind", "usr/share/applications", "usr/share/apport", "usr/share/base-files",
    "usr/share/bash-completion", "usr/share/bug", "usr/share/debconf", "usr/share/doc-base", "usr/share/fish", "usr/share/gcc",
    "usr/share/gdb", "usr/share/icons", "usr/share/info", "usr/share/initramfs-tools", "usr/share/lintian", "usr/share/locale",
    "usr/share/man", "usr/share/menu", "usr/share/metainfo", "usr/share/perl5", "usr/share/pixmaps", "usr/share/python3",
    "usr/share/zsh",
})  # fmt: skip
# The rest in one expression: modules of the standard library that test it or draw windows, character sets that only iconv reads
# (8 MB), what needs a shell, and of the documentation all but copyright files and the links between them.
_NEVER = re.compile(
    r"usr/lib/[^/]+/(gconv|audit)(/|$)"
    r"|usr/lib/python3\.\d+/(.*/)?(test|tests)(/|$)"
    r"|usr/lib/python3\.\d+/(idlelib|turtledemo|ensurepip|pydoc_data|config-[^/]+)(/|$)"
    r"|usr/lib/python3\.\d+/sitecustomize\.py$|etc/python3\.\d+(/|$)|usr/share/python3\.\d+(/|$)"
    r"|usr/bin/(pdb|pydoc|pygettext)3"
    r"|usr/sbin/(update-|iconvconfig|zic$|add-shell|remove-shell)|etc/(issue|motd|ca-certificates)"
    r"|usr/share/doc/[^/]+/(?!copyright$)"
)


def place(path: str) -> str | None:
    """The path in the base of one in a package; None if it is left out.

    base-files of Debian 13 brings the links /bin, /lib, ... itself; taken over, they would be moved into /usr and point at themselves.
    """
    first, _, rest = path.partition("/")
    if path in ("", ".", *MERGED):
        return None
    placed = f"usr/{path}" if first in MERGED and rest else path
    parts = placed.split("/")
    dropped = any("/".join(parts[:depth]) in _DROPPED for depth in (2, 3, len(parts)))
    return None if dropped or _NEVER.match(placed) else placed


def folder_mode(path: str) -> int:
    return {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}.get(path, 0o755)


def file_mode(mode: int) -> int:
    """Two modes only, readable by everybody: no setuid, setgid or sticky bit reaches an image."""
    return 0o755 if mode & 0o111 else 0o644
