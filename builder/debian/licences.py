"""The licences of a package out of its copyright file, for the SBOM. Pure."""


def licences(copyright_text: str) -> tuple[str, ...]:
    """Names as a machine-readable (DEP-5) copyright file has them, sorted, each once; none for one in free text."""
    raise NotImplementedError
