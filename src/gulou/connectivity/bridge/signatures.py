"""A method's signature as a codec: arguments and result travel by the types that it declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

_LISTED = (Iterable, Iterator, Generator)


class MethodCodec:
    """Encodes and decodes the calls of one method.

    A parameter or result that is declared as iterable travels as a list, whole; a result that is declared as a
    ``Future`` travels as what it resolves to.

    Args:
        function: as defined in the class, ``self`` first.

    Attributes:
        resolves_later: the result is a ``Future``.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        if any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters):
            raise TypeError(f"{function.__qualname__} takes any number of arguments")
        hints = get_type_hints(function)
        self._signature = inspect.Signature(parameters)
        self._by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        self._in_order = len(parameters) - len(self._by_name)
        kinds = tuple(_travelling(hints.get(one.name, Any)) for one in parameters)
        row: Any = tuple.__class_getitem__(kinds)
        self._arguments: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(row)
        result = hints.get("return", Any)
        self.resolves_later = get_origin(result) is Future
        if self.resolves_later:
            result = get_args(result)[0]
        self._is_listed = get_origin(result) in _LISTED
        self._result: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_travelling(result))

    def encode_arguments(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> bytes:
        """Encode a call's arguments, defaults filled in. Raises TypeError as the call itself would."""
        bound = self._signature.bind(*args, **named)
        bound.apply_defaults()
        return msgspec.msgpack.encode([_listed(value) for value in bound.arguments.values()])

    def decode_arguments(self, data: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments. Raises msgspec.ValidationError."""
        values = self._arguments.decode(data)
        in_order, rest = values[: self._in_order], values[self._in_order :]
        return in_order, dict(zip(self._by_name, rest, strict=True))

    def encode_result(self, value: Any) -> bytes:
        """Encode what the method returned (for a ``Future``: what it resolved to)."""
        return msgspec.msgpack.encode(_listed(value))

    def decode_result(self, data: bytes) -> Any:
        """Return what the method returned."""
        value = self._result.decode(data)
        return iter(value) if self._is_listed else value


def codecs_of(kind: type[Any]) -> dict[str, Callable[..., Any]]:
    """Return the public methods of a class or Protocol, by name."""
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: function for name, function in found if not name.startswith("_")}


def _travelling(hint: Any) -> Any:
    """Return the type as which a value of type ``hint`` travels."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in _LISTED:
        return list[_travelling(parts[0])]  # type: ignore[misc]  # made at run time
    if origin in (Union, UnionType):
        return Union[tuple(_travelling(part) for part in parts)]  # noqa: UP007  # made at run time
    return None if hint is type(None) else hint


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, Iterator) else value
