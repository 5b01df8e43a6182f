"""Pure: a request's body from bytes: JSON, YAML, or the little protobuf that kubectl insists on."""

from typing import Any

import msgspec
import yaml

from embedded.api import protobuf, status

_YAML = ("application/yaml", "application/apply-patch+yaml", "text/yaml", "application/x-yaml")

_YAML_BYTES = 512 * 1024  # it is read at about 350 KB/s, and nothing else is done meanwhile


class _Loader(yaml.SafeLoader):
    """YAML as JSON writes it: dates stay text, and no aliases, whose expansion could fill the memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise status.bad_request("YAML aliases are not accepted: write the value out")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _json_in_yaml(content: bytes) -> Any:
    """What kubectl sends as YAML is JSON, which is read a hundred times faster. None if it is not."""
    try:
        return msgspec.json.decode(content) if content[:1] == b"{" else None
    except msgspec.MsgspecError:
        return None


def body(content: bytes, content_type: str) -> Any:
    """The decoded body, None when empty. Raises 400 for what cannot be read and 415 for protobuf and the like."""
    if not content:
        return None
    media = content_type.split(";")[0].strip().lower() or "application/json"
    try:
        if media in _YAML:
            if (found := _json_in_yaml(content)) is not None:
                return found
            if len(content) > _YAML_BYTES:
                raise status.StatusError(
                    413, "RequestEntityTooLarge", f"YAML may have {_YAML_BYTES >> 10} KiB; send more than that as JSON"
                )
            loaded = yaml.load(content, Loader=_Loader)  # noqa: S506 - a SafeLoader
            return msgspec.json.decode(msgspec.json.encode(loaded))  # as JSON would have it: text keys, no sets, no NaN
        if media.endswith("json"):
            return msgspec.json.decode(content)
        if media == protobuf.MEDIA:
            return protobuf.decode(content)
    except (msgspec.MsgspecError, yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise status.bad_request(f"the object provided is unrecognized (it must be valid {media}): {error}") from error
    except RecursionError:
        raise status.bad_request("the object provided is nested too deeply") from None
    raise status.unsupported_media_type(["application/json", "application/yaml"])
