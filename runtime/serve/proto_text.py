"""A `.proto` file as a descriptor, so that the text is the one source and no protoc is needed.

It reads what our own file uses of proto3: messages, enums, oneofs, maps, repeated fields and services, each with its
comments. It checks little: the tests compare what comes out with the descriptors of Triton's client.
"""

import re
from collections.abc import Iterable
from typing import Any

_COMMENT = re.compile(r"//[^\n]*")
_TOKEN = re.compile(r'[\w.]+|"[^"]*"|[{}()<>=;,]')
_SCALARS = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13
}  # fmt: skip
_MESSAGE, _ENUM, _OPTIONAL, _REPEATED = 11, 14, 1, 3


def file_descriptor(name: str, text: str) -> Any:
    """The `FileDescriptorProto` of a `.proto` file; raises `ValueError` where it holds what this does not read.

    Args:
        name: What the file is called in the pool and in reflection.
        text: What it holds.
    """
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name=name)
    tokens = _Tokens(_TOKEN.findall(_COMMENT.sub("", text)))
    while tokens.left:
        _TOP[tokens.next()](file, tokens)
    _resolve(file)
    return file


class _Tokens:
    """The words of a file, one after another."""

    def __init__(self, words: Iterable[str]) -> None:
        self.left = list(words)[::-1]

    def next(self) -> str:
        return self.left.pop()

    def take(self, *wanted: str) -> None:
        for word in wanted:
            if (found := self.next()) != word:
                raise ValueError(f"{found!r} stands in a .proto file where {word!r} should")

    def skip(self, word: str) -> bool:
        if self.left[-1] != word:
            return False
        self.left.pop()
        return True


def _syntax(file: Any, tokens: _Tokens) -> None:
    tokens.take("=")
    file.syntax = tokens.next().strip('"')
    tokens.take(";")


def _package(file: Any, tokens: _Tokens) -> None:
    file.package = tokens.next()
    tokens.take(";")


def _service(file: Any, tokens: _Tokens) -> None:
    service = file.service.add(name=tokens.next())
    tokens.take("{")
    while not tokens.skip("}"):
        tokens.take("rpc")
        method = service.method.add(name=tokens.next())
        tokens.take("(")
        if tokens.skip("stream"):
            method.client_streaming = True
        method.input_type = tokens.next()
        tokens.take(")", "returns", "(")
        if tokens.skip("stream"):
            method.server_streaming = True
        method.output_type = tokens.next()
        tokens.take(")", "{", "}")
        method.options.SetInParent()


def _enum(file: Any, tokens: _Tokens) -> None:
    enum = file.enum_type.add(name=tokens.next())
    tokens.take("{")
    while not tokens.skip("}"):
        value = enum.value.add(name=tokens.next())
        tokens.take("=")
        value.number = int(tokens.next())
        tokens.take(";")


def _top_message(file: Any, tokens: _Tokens) -> None:
    _message(file.message_type.add(name=tokens.next()), tokens)


def _message(message: Any, tokens: _Tokens) -> None:
    tokens.take("{")
    while not tokens.skip("}"):
        if tokens.skip("message"):
            _message(message.nested_type.add(name=tokens.next()), tokens)
        elif tokens.skip("oneof"):
            message.oneof_decl.add(name=tokens.next())
            tokens.take("{")
            while not tokens.skip("}"):
                _field(message, tokens).oneof_index = len(message.oneof_decl) - 1
        else:
            _field(message, tokens)


def _field(message: Any, tokens: _Tokens) -> Any:
    repeated = tokens.skip("repeated")
    kind = tokens.next()
    pair = _map_types(tokens) if kind == "map" else None
    name = tokens.next()
    tokens.take("=")
    field = message.field.add(name=name, number=int(tokens.next()), label=_REPEATED if repeated else _OPTIONAL)
    tokens.take(";")
    if pair:
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        for number, (part, of) in enumerate(zip(("key", "value"), pair, strict=True), 1):
            _set_type(entry.field.add(name=part, number=number, label=_OPTIONAL), of)
        field.label, kind = _REPEATED, entry.name
    _set_type(field, kind)
    return field


def _map_types(tokens: _Tokens) -> tuple[str, str]:
    tokens.take("<")
    key = tokens.next()
    tokens.take(",")
    value = tokens.next()
    tokens.take(">")
    return key, value


def _set_type(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type_name = kind


def _resolve(file: Any) -> None:
    """Give every name of a type its full form, looked for from the inside outwards."""
    root = f".{file.package}"
    kinds = {f"{root}.{enum.name}": _ENUM for enum in file.enum_type}
    scopes = [(f"{root}.{message.name}", message) for message in file.message_type]
    for scope, message in scopes:  # grows while it runs
        kinds[scope] = _MESSAGE
        scopes += [(f"{scope}.{nested.name}", nested) for nested in message.nested_type]
    for scope, message in scopes:
        for field in message.field:
            if field.type_name:
                field.type_name = _full(field.type_name, scope, kinds)
                field.type = kinds[field.type_name]
    for service in file.service:
        for method in service.method:
            method.input_type = _full(method.input_type, root, kinds)
            method.output_type = _full(method.output_type, root, kinds)


def _full(name: str, scope: str, kinds: dict[str, int]) -> str:
    while scope:
        if (full := f"{scope}.{name}") in kinds:
            return full
        scope = scope.rpartition(".")[0]
    raise ValueError(f"a .proto file names the type {name!r}, which it does not hold")


_TOP = {"syntax": _syntax, "package": _package, "service": _service, "enum": _enum, "message": _top_message}
