"""Configuration from outside: files (YAML or JSON) and stored dictionaries, merged strictly into the dataclasses."""

import dataclasses
import difflib
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from bandwise.config import RunConfig
from bandwise.errors import UsageError

MAX_CONFIG_BYTES = 1 << 20
_WIDTH = 110
_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}

ConfigT = TypeVar("ConfigT")


def config_from_dict(content: Any) -> RunConfig:
    """Build a configuration from a nested dictionary; what is not named keeps its default. Raises as `merge`."""
    return merge(RunConfig(), content)


def merge(config: ConfigT, content: Any, prefix: str = "") -> ConfigT:
    """Return a configuration, or one section of it, with the values of a nested dictionary.

    What is not named stays. An unknown key, a wrong type or a value out of range is a `UsageError` that names the key,
    behind `prefix`.
    """
    if not isinstance(content, dict):
        raise UsageError(f"{prefix.rstrip('.') or 'the configuration'} must be a mapping of keys, not {content!r}")
    section: Any = config
    hints = typing.get_type_hints(type(section))
    names = [field.name for field in dataclasses.fields(section)]
    changes: dict[str, Any] = {}
    for key, value in content.items():
        if key not in names:
            raise UsageError(f"unknown key {prefix}{key}; {_nearest(str(key), names)}")
        current = getattr(section, key)
        if dataclasses.is_dataclass(current):
            changes[key] = merge(current, value, f"{prefix}{key}.")
        else:
            changes[key] = _checked(f"{prefix}{key}", value, hints[key])
    return dataclasses.replace(section, **changes)


def read_config_file(path: Path) -> Any:
    """Read a YAML or JSON file as plain data, without constructing anything else.

    A file that is missing, over 1 MiB or not valid, repeats a key, or uses an alias or a tag is a `UsageError`.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from error
    if len(content) > MAX_CONFIG_BYTES:
        raise UsageError(f"the configuration {path} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        text = content.decode("utf-8")
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=_unique)
        return _StrictLoader(text).get_single_data()
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"the configuration {path} cannot be read: {error}") from error


def config_text(config: dict[str, Any]) -> str:
    """Return a configuration as YAML, a line or two a section, that `read_config_file` reads back."""
    return yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=_WIDTH)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """List the fields in which two nested dictionaries differ, as `split.stride: 2 -> 4`."""
    found: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, "absent"), new.get(key, "absent")
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return found


def _nearest(key: str, names: list[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"allowed here: {', '.join(names)}"


def _checked(key: str, value: Any, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise UsageError(f"{key} is {value!r}; it must be one of {', '.join(map(str, typing.get_args(hint)))}")
        return value
    optional = origin in (typing.Union, types.UnionType)
    if optional:
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not types.NoneType)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        wanted = f"{_KINDS[hint]} or null" if optional else _KINDS[hint]
        if hint is float and isinstance(value, str):
            wanted += " (YAML reads 1e-3 as text: write 1.0e-3 or 0.001)"
        raise UsageError(f"{key} is {value!r}; it must be {wanted}")
    return value


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one mapping")
    return result


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that also refuses aliases (they can grow without bound) and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(map(str, keys))) != len(keys):
            raise yaml.YAMLError(f"a key stands twice in one mapping{node.start_mark}")
        return super().construct_mapping(node, deep)
