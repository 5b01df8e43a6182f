"""From a project to the language that builds it."""

from builder.errors import UsageError
from builder.language import Job, Language
from builder.languages.python import PythonFunction

LANGUAGES = {"python": PythonFunction}


def language(job: Job) -> Language:
    try:
        return LANGUAGES[job.project.runtime](job)
    except KeyError:
        raise UsageError(f"runtime {job.project.runtime!r} is not one of {', '.join(LANGUAGES)}") from None
