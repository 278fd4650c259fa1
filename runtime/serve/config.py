"""Settings of a server from a TOML file and the command line, with the line that is wrong where one is."""

import tomllib
import types
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from edgepack.runtime.errors import InputError, MissingFileError
from edgepack.runtime.serve.settings import ModelSettings, Settings, check

# Read from the folder of the file that names them, not from where the server happens to be started.
_PATHS = ("models", "token_file", "tls_cert", "tls_key")
_TOLD: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def gather(file: Path | None, options: Mapping[str, Any]) -> Settings:
    """Return the settings of a TOML file with the options of a command line over them, checked.

    Args:
        file: Its keys are those of `Settings`, its tables `limits`, `default` and `model.NAME`. A model's own table
            stands over `default`. Relative paths start at the folder of the file.
        options: By key, those of tables with dots, as `default.batch.max_rows`. None leaves what the file says.

    Raises:
        MissingFileError: There is no such file, folder of models, token file, certificate or key.
        InputError: It is no TOML, or a key is unknown, of another type, or makes no sense.
    """
    table = {} if file is None else _read(file)
    place = "" if file is None else f"{file}: "
    for key, value in options.items():
        if value is not None:
            _put(table, key, value)
    if "models" not in table:
        raise InputError(f"{place}no folder of models; name one: edgepack serve FOLDER")
    default = table.get("default", {})
    models = table.get("model", {})
    if isinstance(default, dict) and isinstance(models, dict):
        own = {name: _over(default, model) if isinstance(model, dict) else model for name, model in models.items()}
        table["model"] = own
    settings: Settings = _convert(table, Settings, "", place)
    try:
        return check(settings)
    except InputError as error:
        raise InputError(f"{place}{error}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(file, "file of settings") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no TOML: {error}") from error
    for key in _PATHS:
        if isinstance(table.get(key), str):
            table[key] = str(file.parent / table[key])
    return table


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for name in tables:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            return  # what the file holds here is refused when it is converted
        table = inner
    table[last] = value


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both tables in one; where both have a key, `above` holds."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _convert(value: Any, kind: Any, key: str, place: str) -> Any:
    """`value` as `kind`: msgspec converts what is single, and the walk to it gives the error its name."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _convert_table(value, kind, key, place)
    if kind == dict[str, ModelSettings]:
        tables = _as_table(value, key, place)
        return {name: _convert(one, ModelSettings, f"{key}.{name}", place) for name, one in tables.items()}
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise InputError(f"{place}{key} is {_shown(value)}; it takes {_told(kind)}") from None


def _convert_table(value: Any, kind: type[msgspec.Struct], key: str, place: str) -> Any:
    table = _as_table(value, key, place)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for name in table:
        if name not in fields:
            near = get_close_matches(name, fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(fields)}"
            raise InputError(f"{place}unknown key {_within(key, name)}; {hint}")
    return kind(**{name: _convert(one, fields[name].type, _within(key, name), place) for name, one in table.items()})


def _as_table(value: Any, key: str, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{place}{key} is {_shown(value)}; it is a table: [{key}]")
    return value


def _within(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "a table" if isinstance(value, dict) else repr(value)[:80]


def _told(kind: Any) -> str:
    """A type in words for people."""
    if get_origin(kind) in {Union, types.UnionType}:
        return " or ".join(_told(one) for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is tuple:
        return "a list of texts"
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return _TOLD[kind]
