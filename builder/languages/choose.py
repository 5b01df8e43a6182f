"""From a project to the language that builds it. Only that one is imported: the others would cost every build 40 ms."""

from builder.errors import UsageError
from builder.language import Job, Language

LANGUAGES = ("python", "node", "go", "binary", "dockerfile")


def language(job: Job) -> Language:
    match job.project.builder or job.project.runtime:
        case "python":
            from builder.languages.python import PythonFunction

            return PythonFunction(job)
        case "node":
            from builder.languages.node import NodeFunction

            return NodeFunction(job)
        case "go":
            from builder.languages.golang import GoFunction

            return GoFunction(job)
        case "binary":
            from builder.languages.binary import ReadyProgram

            return ReadyProgram(job)
        case "dockerfile":
            from builder.languages.dockerfile import ContainerFile

            return ContainerFile(job)
        case other:
            raise UsageError(f"runtime {other!r} is not one of {', '.join(LANGUAGES)}")
