"""What a TFLite file keeps inside from one run to the next, read without a library.

Two things live on in an interpreter: variable tensors (fused LSTM, RNN and SVDF), which the interpreter itself clears,
and resource variables (`tf.Variable`), which it cannot. Those are given their first values by graphs of the file that a
run calls once; to run such a graph again gives them those values again, where it does nothing else. Where that cannot
be seen in the file, only a new interpreter forgets.
"""

import struct
from collections.abc import Iterator

import msgspec

from edgepack.runtime.engines import flatbuffer

# operators, by their numbers in the format's schema
_CALL_ONCE, _VAR_HANDLE, _ASSIGN = 129, 142, 144
_TABLES = {136, 138}  # HASHTABLE, HASHTABLE_IMPORT: a table that is filled takes nothing more

_LONGEST_NAME = 4096  # a thousand operators may share one name of any length

Name = tuple[bytes, bytes]


class State(msgspec.Struct, frozen=True):
    """What a file keeps from one run to the next."""

    variables: bool = False
    """It has tensors that live on; the interpreter's own reset clears them."""
    resources: bool = False
    """It has variables that a run changes."""
    first_values: tuple[int, ...] = ()
    """The graphs that give each of those its first value, and do nothing else; empty where a file has none such."""

    @property
    def kept(self) -> bool:
        """Whether an answer can depend on an earlier run."""
        return self.variables or self.resources

    @property
    def needs_new_interpreter(self) -> bool:
        """Whether nothing less makes it forget."""
        return self.resources and not self.first_values


_UNREADABLE = State(variables=True, resources=True)


def state_of(data: bytes) -> State:
    """What a file keeps; where that cannot be read, the worst. The bytes are those that an engine may see."""
    try:
        model = _fields(data, flatbuffer.number(data, 0), 3)
        codes = [_operator_code(data, table) for table in _list(data, model[1])]
        graphs = [_fields(data, table, 4) for table in _list(data, model[2])]
        variables = any(_is_variable(data, tensor) for graph in graphs for tensor in _list(data, graph[0]))
        if _ASSIGN not in codes:  # variables that nothing writes to are constants
            return State(variables)
        return _with_resources([list(_operators(data, graph[3], codes)) for graph in graphs], variables)
    except (struct.error, OverflowError, IndexError):
        return _UNREADABLE


class _Operator(msgspec.Struct, frozen=True):
    """As much of an operator as tells what it does to variables."""

    code: int
    first_input: int = -1
    first_output: int = -1
    variable: Name = (b"", b"")
    calls: int = -1


def _with_resources(graphs: list[list[_Operator]], variables: bool) -> State:
    once = [operator.calls for operator in graphs[0] if operator.code == _CALL_ONCE]
    others = [index for index in range(len(graphs)) if index not in once]
    if not any(operator.code == _ASSIGN for index in others for operator in graphs[index]):
        return State(variables)
    named = {operator.variable for graph in graphs for operator in graph if operator.code == _VAR_HANDLE}
    begun = [name for index in once for name in _assigned(graphs[index])]
    if _calls_first(graphs) and sorted(begun) == sorted(named):
        return State(variables, resources=True, first_values=tuple(once))
    return State(variables, resources=True)


def _calls_first(graphs: list[list[_Operator]]) -> bool:
    """Whether graphs are called once by the main graph alone, before it does anything else, and not by one another."""
    main = [operator.code for operator in graphs[0] if operator.code != _VAR_HANDLE]
    calls = main.count(_CALL_ONCE)
    once = {operator.calls for operator in graphs[0] if operator.code == _CALL_ONCE}
    return (
        main[:calls] == [_CALL_ONCE] * calls
        and len(once) == calls
        and 0 not in once
        and not any(operator.code == _CALL_ONCE for graph in graphs[1:] for operator in graph)
    )


def _assigned(graph: list[_Operator]) -> Iterator[Name]:
    """The variables that a graph gives constant values; raises where it does, or may do, anything else."""
    handles = {operator.first_output: operator.variable for operator in graph if operator.code == _VAR_HANDLE}
    for operator in graph:
        if operator.code == _ASSIGN:
            if operator.first_input not in handles:
                raise OverflowError
            yield handles[operator.first_input]
        elif operator.code != _VAR_HANDLE and operator.code not in _TABLES:
            raise OverflowError


def _operators(data: bytes, at: int, codes: list[int]) -> Iterator[_Operator]:
    for table in _list(data, at):
        which, inputs, outputs, _, options = _fields(data, table, 5)
        code = codes[flatbuffer.number(data, which) if which else 0]
        if code not in {_CALL_ONCE, _VAR_HANDLE, _ASSIGN}:
            yield _Operator(code)
            continue
        own = _fields(data, options + flatbuffer.number(data, options), 2) if options else [0, 0]
        if code == _CALL_ONCE:
            yield _Operator(code, calls=flatbuffer.number(data, own[0]) if own[0] else 0)
            continue
        container, name = (_text(data, at) if at and code == _VAR_HANDLE else b"" for at in own)
        yield _Operator(code, _first(data, inputs), _first(data, outputs), (container, name))


def _text(data: bytes, at: int) -> bytes:
    if flatbuffer.number(data, at + flatbuffer.number(data, at)) > _LONGEST_NAME:
        raise OverflowError
    return flatbuffer.content(data, at)


def _first(data: bytes, at: int) -> int:
    """The first element of a list; -1 where it has none. A thousand lists may be one: none is read whole."""
    at += flatbuffer.number(data, at) if at else 0
    return flatbuffer.number(data, at + 4) if at and flatbuffer.number(data, at) else -1


def _operator_code(data: bytes, table: int) -> int:
    """The newer of the two fields that hold it has room for all; files of old have the other alone."""
    old, new = (_fields(data, table, 4)[field] for field in (0, 3))
    return max(data[old] if old else 0, flatbuffer.number(data, new) if new else 0)


def _is_variable(data: bytes, table: int) -> bool:
    at = _fields(data, table, 6)[5]
    return bool(at and data[at])


def _list(data: bytes, at: int) -> list[int]:
    return flatbuffer.tables(data, at) if at else []


def _fields(data: bytes, table: int, count: int) -> list[int]:
    """Where the first fields of a table lie; 0 for those it does not have."""
    return (flatbuffer.places(data, table) + [0] * count)[:count]
