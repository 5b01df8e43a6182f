"""What the packages' own scripts would write when they are installed, which a base never runs. Pure.

There is no /etc/ld.so.cache: the loader finds everything in its default folders without one, and what else reads it is ldconfig, which
is not there (so `ctypes.util.find_library` finds nothing, as in any image without a compiler and a shell; load by soname).
"""

import re
from collections.abc import Mapping

from builder.base.place import MERGED
from builder.tar import Member

USER = 1000  # and group; also builder/image.py
HOME = "/home/nonroot"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
ENV = ("PATH=/usr/local/bin:/usr/bin:/bin", f"SSL_CERT_FILE=/{CERTIFICATES}")  # the variable for OpenSSLs that bring their own default

_PASSWD = f"""root:x:0:0:root:/root:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
nonroot:x:{USER}:{USER}:nonroot:{HOME}:/usr/sbin/nologin
"""
_GROUP = f"root:x:0:\ntty:x:5:\nstaff:x:50:\nnogroup:x:65534:\nnonroot:x:{USER}:\n"
_NSSWITCH = """passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
"""
_LINKS = {
    "etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
    "etc/mtab": "/proc/mounts",
    "usr/lib/ssl/cert.pem": f"/{CERTIFICATES}",  # where Debian's OpenSSL looks first
    "usr/lib/ssl/certs": "/etc/ssl/certs",
    "var/lock": "/run/lock",
    "var/run": "/run",
}
_FOLDERS = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700, "run": 0o755, "run/lock": 0o1777, "proc": 0o755, "sys": 0o755, "dev": 0o755}
_ALTERNATIVE = re.compile(r"--(?:install|slave)\s+(/\S+)\s+\S+\s+(/\S+)")


def static(certificates: Mapping[str, bytes], amd64: bool) -> list[Member]:
    """Accounts, names, trusted certificates (by path: those of usr/share/ca-certificates) and the folders that every process expects."""
    merged = MERGED if amd64 else MERGED[:-1]  # arm64 has its loader in /lib
    bundle = b"".join(data if data.endswith(b"\n") else data + b"\n" for _, data in sorted(certificates.items()))
    texts = {"etc/passwd": _PASSWD, "etc/group": _GROUP, "etc/nsswitch.conf": _NSSWITCH, "etc/timezone": "Etc/UTC\n"}
    return [
        *(Member(name, link=f"usr/{name}") for name in merged),
        *(Member(f"usr/{name}", folder=True) for name in merged),
        *(Member(name, load=text.encode) for name, text in texts.items()),
        Member(CERTIFICATES, load=lambda: bundle),
        *(Member(name, link=target) for name, target in _LINKS.items()),
        *(Member(name, folder=True, mode=mode) for name, mode in _FOLDERS.items()),
        Member(HOME.lstrip("/"), folder=True, owner=USER),
    ]


def python(minor: str) -> list[Member]:
    """The names under which the interpreter is called, and the folder in which it looks for what is installed beside the packages."""
    return [
        Member("usr/bin/python3", link=f"python{minor}"),
        Member("usr/bin/python", link=f"python{minor}"),
        Member(f"usr/local/lib/python{minor}/dist-packages", folder=True),
        Member("usr/lib/python3/dist-packages", folder=True),
    ]


def alternatives(script: str) -> dict[str, str]:
    """Link to target, of what a package registers with update-alternatives when it is installed (libblas.so.3, for example)."""
    joined = script.replace("\\\n", " ")
    return {link.lstrip("/"): target for link, target in _ALTERNATIVE.findall(joined) if "$" not in link + target}
