"""Asks for the digests of Revisions' images beside the reconcilers, so that a slow registry holds up nobody else. What is asked for
is decided in `revision.images`, what a failure means in `revision.plan`; an answer is kept here until it is in the Revision's status."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from controller import pullsecrets
from controller.revision.images import Trouble
from controller.settings import Settings
from kfn.api.serving import Revision
from kfn.digests import Resolve, Unresolved
from kfn.kube import errors
from kfn.kube.client import Client

log = logging.getLogger(__name__)

AT_ONCE = 8  # Revisions that are asked for
PAUSE, LASTING_PAUSE, LONGEST_PAUSE = 1.0, 5.0, 60.0  # seconds before asking again; doubled at each failure


@dataclass(frozen=True, slots=True)
class Answer:
    """`digests` by image once all are known, else None; then `trouble` may say what is in the way, and `again` when to look (seconds)."""

    digests: Mapping[str, str] | None = None
    trouble: Trouble | None = None
    again: float | None = None


@dataclass(slots=True)
class _Question:
    uid: str
    digests: dict[str, str] = field(default_factory=dict)
    trouble: Trouble | None = None
    asking: bool = False
    next_at: float = 0.0


class Resolving:
    """`ready(key)` is called when there is news for a Revision."""

    def __init__(self, client: Client, resolve: Resolve, settings: Settings, ready: Callable[[str], None]) -> None:
        self._client = client
        self._resolve = resolve
        self._timeout = settings.resolve_timeout
        self._ready = ready
        self._questions: dict[str, _Question] = {}
        self._limit = anyio.CapacityLimiter(AT_ONCE)
        self._tasks: TaskGroup | None = None

    async def run(self) -> None:
        async with anyio.create_task_group() as self._tasks:
            await anyio.sleep_forever()

    def ask(self, key: str, revision: Revision, images: tuple[str, ...]) -> Answer:
        """What is known now. It asks on when something is missing and it is time to."""
        question = self._questions.get(key)
        if question is None or question.uid != revision.metadata.uid:
            question = self._questions[key] = _Question(revision.metadata.uid)
        if all(image in question.digests for image in images):
            return Answer({image: question.digests[image] for image in images})
        now = anyio.current_time()
        if not question.asking and question.next_at <= now and self._tasks is not None:
            question.asking = True
            self._tasks.start_soon(self._work, key, question, revision, images)
        return Answer(None, question.trouble, None if question.asking else max(question.next_at - now, 0.05))

    def forget(self, key: str) -> None:
        self._questions.pop(key, None)

    async def _work(self, key: str, question: _Question, revision: Revision, images: tuple[str, ...]) -> None:
        image = images[0]
        try:
            async with self._limit:
                configs = await pullsecrets.docker_configs(self._client, revision.metadata.namespace, revision.spec)
                for image in images:
                    if image not in question.digests:
                        with anyio.fail_after(self._timeout):
                            question.digests[image] = await self._resolve(image, configs)
            question.trouble = None
        except Unresolved as error:
            self._failed(question, image, str(error), error.lasting)
        except TimeoutError:
            self._failed(question, image, f"the registry did not answer within {self._timeout:g} s", False)
        except errors.KubeError as error:
            self._failed(question, image, f"its pull secrets cannot be read: {error}", False)
        except Exception:
            log.exception("resolving %s for %s", image, key)
            self._failed(question, image, "an error in kfn, which its log has", False)
        finally:
            question.asking = False
            self._ready(key)

    def _failed(self, question: _Question, image: str, why: str, lasting: bool) -> None:
        failures = question.trouble.failures + 1 if question.trouble else 1
        question.trouble = Trouble(image, why, lasting, failures)
        first = LASTING_PAUSE if lasting else PAUSE
        question.next_at = anyio.current_time() + min(first * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE)
