"""Reads a Pipeline into its plan, or says of every field at fault what is wrong with it and what to do.

Edges come from the names that expressions read, and from `needs`, which gives an order without data and says what is optional.
"""

import difflib
from dataclasses import dataclass, field

from kfn.api.errors import FieldError, Invalid
from kfn.api.meta import Destination, KReference
from kfn.api.pipeline import Pipeline, PipelineStep
from kfn.pipeline import graph, policies
from kfn.pipeline.expression import BadExpression, EvaluationError, Expression, kind, parse
from kfn.pipeline.model import Need, Plan, Step
from kfn.pipeline.template import Items, Object, Template, Whole, expressions, names, template, weigh

ALWAYS = frozenset({"event", "data", "run"})
IN_ITEM = frozenset({"item", "index"})
MAX_IN_FLIGHT = 16
TIMEOUT = "10m"
SERVING = "serving.knative.dev/v1"
# Of all expressions together: reading 32 KiB takes up to a second, in a process that answers others meanwhile.
EXPRESSIONS_MAX, TEXT_MAX = 500, 32 * 1024


@dataclass(slots=True)
class _Draft:
    """What is known of one step while the others are read."""

    spec: PipelineStep
    at: str
    needs: dict[str, bool] = field(default_factory=dict)
    when: Expression | None = None
    map: Template | None = None
    input: Template | None = None


def check(pipeline: Pipeline) -> list[FieldError]:
    """Everything that is wrong with its steps, expressions and times."""
    return _read(pipeline)[1]


def read(pipeline: Pipeline) -> Plan:
    """Raises `Invalid`, which lists every field at fault."""
    plan, errors = _read(pipeline)
    if plan is None:
        raise Invalid(errors, f'Pipeline "{pipeline.metadata.namespace}/{pipeline.metadata.name}"')
    return plan


def _read(pipeline: Pipeline) -> tuple[Plan | None, list[FieldError]]:
    spec, errors = pipeline.spec, list[FieldError]()
    if not spec.steps:
        return None, [FieldError("spec.steps", "missing; give at least one step, such as {hello: {fn: hello}}")]
    if too_much := _weight(pipeline):
        return None, [too_much]
    drafts = {name: _Draft(step, f"spec.steps.{name}") for name, step in spec.steps.items()}
    for draft in drafts.values():
        _parse(draft, errors)
        _edges(draft, drafts, errors)
    key = _expression(spec.key, "spec.key", errors)
    if key is not None:
        _known(key.names, "spec.key", {"event", "data"}, errors)
    output = _template(spec.output, "spec.output", errors)
    if output is not None:
        _known(names(output), "spec.output", ALWAYS | drafts.keys(), errors)
    edges = {name: list(draft.needs) for name, draft in drafts.items()}
    ordered = graph.order(edges)
    if ordered is None:
        circle = graph.cycle(edges)
        way = " needs ".join([*circle, circle[0]])
        errors.append(FieldError(f"spec.steps.{circle[0]}", f"goes in a circle: {way}; take one of these needs out"))
    _types(drafts, errors)
    policies.defaults(spec.defaults, errors)
    timeout = policies.seconds(spec.timeout or TIMEOUT, "spec.timeout", errors)
    steps = [_step(name, drafts[name], pipeline, errors) for name in ordered or drafts]
    if errors:
        return None, errors
    finals = tuple(name for name in drafts if not any(name in draft.needs for draft in drafts.values()))
    plan = Plan(
        pipeline.metadata.namespace,
        pipeline.metadata.name,
        pipeline.metadata.generation,
        spec.on,
        spec.on is None if spec.http is None else spec.http,
        key,
        timeout,
        tuple(steps),
        finals,
        output or (Whole(finals[0]) if len(finals) == 1 else Object(tuple((name, Whole(name)) for name in finals))),
    )
    return plan, []


def _weight(pipeline: Pipeline) -> FieldError | None:
    """What is too much to be read at all."""
    found = {"spec.key": pipeline.spec.key, "spec.output": pipeline.spec.output}
    for name, step in pipeline.spec.steps.items():
        found |= {f"spec.steps.{name}.{field}": getattr(step, field) for field in ("input", "data", "map", "when")}
    texts = characters = 0
    for place, value in found.items():
        try:
            more = weigh(value or None)
        except ValueError as error:
            return FieldError(place, str(error))
        texts, characters = texts + more[0], characters + more[1]
    if texts > EXPRESSIONS_MAX or characters > TEXT_MAX:
        return FieldError(
            "spec.steps",
            f"has {texts} expressions with {characters} characters, at most {EXPRESSIONS_MAX} with {TEXT_MAX} are possible; "
            "let functions do more, or make two Pipelines",
        )
    return None


def _parse(draft: _Draft, errors: list[FieldError]) -> None:
    spec, at = draft.spec, draft.at
    draft.when = _expression(spec.when, f"{at}.when", errors)
    draft.map = _template(spec.map or None, f"{at}.map", errors)
    given = "data" if spec.emit else "input"
    draft.input = _template(getattr(spec, given), f"{at}.{given}", errors)
    other = "input" if spec.emit else "data"
    if getattr(spec, other) is not None:
        why = "a step that publishes has data" if spec.emit else "a step that calls something has an input"
        errors.append(FieldError(f"{at}.{other}", f"{why}; rename it to {given}"))


def _edges(draft: _Draft, drafts: dict[str, _Draft], errors: list[FieldError]) -> None:
    """What it needs: the names in `needs` first, as they are written, then those that its expressions read."""
    at, own = draft.at, draft.at.removeprefix("spec.steps.")
    written = [draft.spec.needs] if isinstance(draft.spec.needs, str) else draft.spec.needs
    for i, text in enumerate(written):
        name, place = text.removesuffix("?"), f"{at}.needs" if isinstance(draft.spec.needs, str) else f"{at}.needs[{i}]"
        if name == own:
            errors.append(FieldError(place, "is the step itself; remove it"))
        elif name not in drafts:
            errors.append(FieldError(place, f"there is no step {name!r}{_meant(name, drafts)}"))
        elif name in draft.needs:
            errors.append(FieldError(place, f"{name!r} is there twice; remove one"))
        else:
            draft.needs[name] = text.endswith("?")
    item = IN_ITEM if draft.map is not None else frozenset[str]()
    last = "data" if draft.spec.emit else "input"
    for one, place, more in (
        (draft.when, "when", frozenset[str]()), (draft.map, "map", frozenset[str]()), (draft.input, last, item),
    ):  # fmt: skip
        read_names = names(one) if one is not None else frozenset[str]()
        if own in read_names:
            errors.append(FieldError(f"{at}.{place}", f"reads {own!r}, its own output; a step cannot need itself"))
        _known(read_names, f"{at}.{place}", ALWAYS | more | drafts.keys(), errors, mapped=bool(more))
        for name in (name for name in drafts if name in read_names and name != own):
            draft.needs.setdefault(name, False)


def _known(
    read_names: frozenset[str], place: str, known: set[str] | frozenset[str], errors: list[FieldError], *, mapped: bool = False
) -> None:
    for name in sorted(read_names - known):
        if name in IN_ITEM and not mapped:
            errors.append(FieldError(place, f"reads {name!r}, which is there only in the input of a step with a map"))
        else:
            errors.append(FieldError(place, f"reads {name!r}, but there is no such step{_meant(name, known)}"))


def _meant(name: str, known: object) -> str:
    every = sorted(str(one) for one in known) if isinstance(known, (dict, set, frozenset)) else []
    close = next(iter(difflib.get_close_matches(name, every, n=1)), None)
    return f"; did you mean {close!r}?" if close else f"; known here: {', '.join(every)}"


def _types(drafts: dict[str, _Draft], errors: list[FieldError]) -> None:
    """What can be known before a run: what a map makes is a list, a condition is true or false and not always false."""
    lists = {name for name, draft in drafts.items() if draft.map is not None}
    for draft in drafts.values():
        for one in (draft.when, draft.map, draft.input):
            for expression in expressions(one) if one is not None else ():
                try:
                    kind(expression, lists)
                except BadExpression as error:
                    errors.append(FieldError(error.place, str(error)))
        if draft.map is not None and (found := _kind(draft.map, lists)) not in ("DYN", "LIST", ""):
            errors.append(
                FieldError(f"{draft.at}.map", f"is of the type {found.lower()} and no list; give the list whose items the step works on")
            )
        if draft.when is not None:
            _condition(draft.when, lists, errors)


def _kind(one: Template, lists: set[str]) -> str:
    """The type of what a map goes over: empty where the expression itself is at fault, which has been said."""
    if isinstance(one, Whole):
        return "INT" if one.name == "index" else "LIST" if one.name in lists else "MAP" if one.name in ("event", "run") else "DYN"
    if isinstance(one, Items):
        return "LIST"
    if not isinstance(one, Expression):
        return "OBJECT"
    try:
        return kind(one, lists).split("<")[0]
    except BadExpression:
        return ""


def _condition(when: Expression, lists: set[str], errors: list[FieldError]) -> None:
    found = _kind(when, lists)
    if found not in ("DYN", "BOOL", ""):
        errors.append(FieldError(when.place, f"is of the type {found.lower()} and not true or false; compare it with something"))
    elif found == "BOOL" and not when.names:
        try:
            true = when.truth({})
        except EvaluationError as error:
            errors.append(FieldError(when.place, str(error)))
            return
        if not true:
            errors.append(
                FieldError(when.place, "is never true, so the step would never run; read the output of a step, or remove the step")
            )


def _step(name: str, draft: _Draft, pipeline: Pipeline, errors: list[FieldError]) -> Step:
    spec, at = draft.spec, draft.at
    return Step(
        name,
        _target(spec, at, pipeline.metadata.namespace, errors),
        spec.emit,
        spec.broker or (pipeline.spec.on.broker if pipeline.spec.on else "") or "default",
        tuple(Need(need, optional) for need, optional in draft.needs.items()),
        draft.input or _whole(draft),
        draft.map,
        policies.in_flight(spec, at, errors) or MAX_IN_FLIGHT,
        draft.when,
        policies.join(spec.join, f"{at}.join", errors),
        policies.policy(spec, at, pipeline.spec.defaults, errors),
    )


def _whole(draft: _Draft) -> Template:
    """Without an input: the item; what the single need answered; an object of what they all did; or what started the run."""
    if draft.map is not None:
        return Whole("item")
    needs = list(draft.needs)
    if len(needs) == 1:
        return Whole(needs[0])
    return Object(tuple((name, Whole(name)) for name in needs)) if needs else Whole("data")


def _target(spec: PipelineStep, at: str, namespace: str, errors: list[FieldError]) -> Destination | None:
    given = [name for name in ("fn", "uri", "ref", "emit") if getattr(spec, name)]
    if len(given) != 1 and given != ["uri", "ref"]:
        said = f"has {' and '.join(given)}" if given else "does nothing"
        errors.append(FieldError(at, f"{said}; set exactly one of fn (a Service), uri, ref and emit (an event's type)"))
        return None
    if spec.emit:
        return None
    if spec.fn:
        return Destination(KReference(SERVING, "Service", spec.fn, namespace))
    return Destination(spec.ref, spec.uri)


def _expression(text: str, place: str, errors: list[FieldError]) -> Expression | None:
    if not text:
        return None
    try:
        return parse(text, place)
    except BadExpression as error:
        errors.append(FieldError(error.place, str(error)))
        return None


def _template(value: object, place: str, errors: list[FieldError]) -> Template | None:
    if value is None:
        return None
    try:
        return template(value, place)
    except BadExpression as error:
        errors.append(FieldError(error.place, str(error)))
        return None
