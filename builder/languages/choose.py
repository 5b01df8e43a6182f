"""From a project to the language that builds it."""

from collections.abc import Callable

from builder.errors import UsageError
from builder.language import Job, Language
from builder.languages.binary import ReadyProgram
from builder.languages.dockerfile import ContainerFile
from builder.languages.golang import GoFunction
from builder.languages.node import NodeFunction
from builder.languages.python import PythonFunction

LANGUAGES: dict[str, Callable[[Job], Language]] = {
    "python": PythonFunction,
    "node": NodeFunction,
    "go": GoFunction,
    "binary": ReadyProgram,
    "dockerfile": ContainerFile,
}


def language(job: Job) -> Language:
    try:
        return LANGUAGES[job.project.builder or job.project.runtime](job)
    except KeyError:
        raise UsageError(f"runtime {job.project.runtime!r} is not one of {', '.join(LANGUAGES)}") from None
