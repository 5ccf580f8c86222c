"""Typed documents: a frozen dataclass from a JSON object, every field checked once, and back again.

A field that may be None may be missing, as in files of earlier versions; one with the default None is left out of the
file where it is None. Keys that no field is named after are passed over. What a dataclass checks beyond types it checks
in `__post_init__`, by a ValueError that names the key.
"""

import dataclasses
import functools
import reprlib
import types
import typing
from typing import Any, Literal, TypeVar

from bandwise.errors import CorruptionError

_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "an object"}

Document = TypeVar("Document")


def parse(kind: type[Document], content: Any, what: object) -> Document:
    """Read a dataclass of `int`, `float`, `str`, `bool`, `None`, literals, tuples, dictionaries and such dataclasses.

    The keys of a dictionary are texts, or numbers written as texts. Of several dataclasses joined by `|`, the first
    whose keys without a default are all there is read. A `CorruptionError` names the key, and by `what` the file.
    """
    return _read(kind, content, what, "")


def plain(value: Any) -> Any:
    """Return a document as plain dictionaries and lists, ready for JSON."""
    if dataclasses.is_dataclass(value):
        fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {field.name: plain(own) for field, own in fields if not (own is None and field.default is None)}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _read(kind: Any, value: Any, what: object, key: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _read_object(kind, value, what, key)
    if origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        options = [option for option in arguments if option is not types.NoneType]
        return _read(next((option for option in options if _complete(option, value)), options[0]), value, what, key)
    if origin is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(_read(each, value[place], what, f"{key}.{place}") for place, each in enumerate(kinds))
    if origin is dict and isinstance(value, dict) and (arguments[0] is str or all(map(_is_number, value))):
        return {arguments[0](name): _read(arguments[1], part, what, f"{key}.{name}") for name, part in value.items()}
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    if origin is Literal and any(value == option and type(value) is type(option) for option in arguments):
        return value
    wanted = {tuple: "a list", Literal: f"one of {arguments}"}.get(origin) or _KINDS[origin or kind]
    raise CorruptionError(f"{what} is damaged: {key} is {reprlib.repr(value)}; it must be {wanted}")


def _read_object(kind: Any, content: Any, what: object, key: str) -> Any:
    if not isinstance(content, dict):
        raise CorruptionError(f"{what} is damaged: {key or 'its content'} is no object with keys")
    before, hints = f"{key}." if key else "", _hints(kind)
    required = (name for name, hint in hints.items() if types.NoneType not in typing.get_args(hint))
    if missing := [before + name for name in required if name not in content]:
        raise CorruptionError(f"{what} lacks {', '.join(missing)}")
    values = {name: _read(hint, content.get(name), what, before + name) for name, hint in hints.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise CorruptionError(f"{what} is damaged: {before}{error}") from error


def _complete(kind: Any, content: Any) -> bool:
    if not (dataclasses.is_dataclass(kind) and isinstance(content, dict)):
        return False
    return all(field.name in content or field.default is None for field in dataclasses.fields(kind))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and str(int(text[:9])) == text
