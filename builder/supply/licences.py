"""How a licence that a package names goes into an SBOM: as an SPDX identifier, an SPDX expression or a plain name. Pure.

An identifier that SPDX does not have makes an SBOM invalid, so only those that packages really use count as known; any other text is
kept as the name it is.
"""

import re
from dataclasses import dataclass

# Of SPDX's 700 identifiers those that packages of Python, npm, Go and Debian declare.
_KNOWN = """
    0BSD AFL-2.1 AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-1.0 Artistic-2.0 BlueOak-1.0.0 BSD-1-Clause
    BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause BSD-3-Clause-Clear BSD-4-Clause BSL-1.0 bzip2-1.0.6 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0
    CC-BY-SA-4.0 CC0-1.0 CDDL-1.0 CDDL-1.1 CECILL-2.1 CNRI-Python curl ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.2 FSFAP FSFUL FSFULLR FTL
    GFDL-1.1-or-later GFDL-1.2-or-later GFDL-1.3-only GFDL-1.3-or-later GPL-1.0-only GPL-1.0-or-later GPL-2.0-only GPL-2.0-or-later
    GPL-3.0-only GPL-3.0-or-later HPND HPND-sell-variant ICU IJG Info-ZIP ISC LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later libpng-2.0 Libpng libtiff MirOS MIT MIT-0 MIT-CMU MPL-1.1 MPL-2.0
    MPL-2.0-no-copyleft-exception MS-PL MulanPSL-2.0 NCSA NTP OFL-1.1 OLDAP-2.8 OpenSSL PostgreSQL PSF-2.0 Python-2.0 Python-2.0.1
    RSA-MD Ruby SISSL Sleepycat SSPL-1.0 TCL Unicode-3.0 Unicode-DFS-2016 Unlicense UPL-1.0 W3C WTFPL X11
    Zlib ZPL-2.0 ZPL-2.1
"""
_EXCEPTIONS = """
    Autoconf-exception-2.0 Autoconf-exception-3.0 Autoconf-exception-generic Bison-exception-2.2 Classpath-exception-2.0
    Font-exception-2.0 GCC-exception-2.0 GCC-exception-3.1 Libtool-exception Linux-syscall-note LLVM-exception OpenSSL-exception
"""
# What metadata from before PEP 639 says for them.
SPELLINGS = {
    "mit license": "MIT",
    "the mit license": "MIT",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd-3-clause license": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "bsd 2-clause": "BSD-2-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "psfl": "PSF-2.0",
    "gpl-2": "GPL-2.0-only",
    "gpl-2+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only",
    "gpl-3+": "GPL-3.0-or-later",
    "lgpl-2": "LGPL-2.0-only",
    "lgpl-2+": "LGPL-2.0-or-later",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later",
    "lgpl-3": "LGPL-3.0-only",
    "lgpl-3+": "LGPL-3.0-or-later",
    "expat": "MIT",
}  # the short ones are Debian's
_DEEPEST = 50  # parentheses: what a package declares may be anything
_TOKEN = re.compile(r"\(|\)|[A-Za-z0-9.+:-]+")
KNOWN, EXCEPTIONS = frozenset(_KNOWN.split()), frozenset(_EXCEPTIONS.split())
_BY_LOWER = {name.lower(): name for name in KNOWN}


@dataclass(frozen=True, slots=True)
class Licence:
    """One of `id`, `expression` and `name` is set."""

    id: str = ""
    expression: str = ""
    name: str = ""


def licence(text: str) -> Licence:
    """Where a declared text belongs."""
    text = " ".join(text.split())
    simple = SPELLINGS.get(text.lower()) or _BY_LOWER.get(text.lower())
    if simple:
        return Licence(id=simple)
    found = expression(text)
    return Licence(expression=found) if found else Licence(name=text)


def expression(text: str) -> str:
    """The SPDX expression that a text is, spelled as SPDX spells it; empty if it is none, or names something unknown."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != "".join(text.split()) or tokens.count("(") > _DEEPEST:
        return ""
    words, at = _either(tokens, 0)
    return _spaced(words) if words and at == len(tokens) else ""


def together(licences: tuple[Licence, ...]) -> str:
    """One expression for all; empty if a name is among them."""
    if not licences or any(one.name for one in licences):
        return ""
    parts = [one.id or one.expression for one in licences]
    return parts[0] if len(parts) == 1 else " AND ".join(f"({part})" if " " in part else part for part in parts)


def _either(tokens: list[str], at: int) -> tuple[list[str], int]:
    """Terms joined by AND or OR. Nothing if it is no expression."""
    words, at = _term(tokens, at)
    while words and at < len(tokens) and tokens[at].upper() in ("AND", "OR"):
        more, after = _term(tokens, at + 1)
        if not more:
            return [], at
        words, at = [*words, tokens[at].upper(), *more], after
    return words, at


def _term(tokens: list[str], at: int) -> tuple[list[str], int]:
    if at >= len(tokens):
        return [], at
    if tokens[at] == "(":
        words, after = _either(tokens, at + 1)
        closed = words and after < len(tokens) and tokens[after] == ")"
        return (["(", *words, ")"], after + 1) if closed else ([], at)
    known = _BY_LOWER.get(tokens[at].lower()) or _BY_LOWER.get(tokens[at].removesuffix("+").lower())
    if not known:
        return [], at
    word = known if tokens[at].lower() == known.lower() else f"{known}+"
    if at + 2 < len(tokens) and tokens[at + 1].upper() == "WITH":
        return ([word, "WITH", tokens[at + 2]], at + 3) if tokens[at + 2] in EXCEPTIONS else ([], at)
    return [word], at + 1


def _spaced(words: list[str]) -> str:
    return " ".join(words).replace("( ", "(").replace(" )", ")")
