"""The errors: one root, each also a builtin, one line each."""

import inspect

import pytest

from edgepack.runtime import errors
from edgepack.runtime.errors import (
    EdgepackError,
    MissingExtraError,
    MissingFileError,
    OutputError,
    ProviderError,
    UnknownNameError,
)

ALL = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, EdgepackError)]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_is_an_edgepack_error_with_a_docstring(error: type[EdgepackError]) -> None:
    assert error.__doc__


@pytest.mark.parametrize("error", [error for error in ALL if error is not EdgepackError], ids=lambda e: e.__name__)
def test_every_error_is_in_the_tree_of_the_module(error: type[EdgepackError]) -> None:
    assert f"─ {error.__name__} " in str(errors.__doc__)


@pytest.mark.parametrize("error", [error for error in ALL if error is not EdgepackError], ids=lambda e: e.__name__)
def test_every_error_is_also_a_builtin_error(error: type[EdgepackError]) -> None:
    assert issubclass(error, (ValueError, OSError, RuntimeError, ImportError))


def test_an_unknown_name_lists_the_known_ones() -> None:
    error = UnknownNameError("engine", "onx", ["onnx", "litert"], "look again")
    assert str(error) == "unknown engine 'onx' (known: onnx, litert); look again"
    assert error.known == ("onnx", "litert")


def test_an_unknown_name_says_when_nothing_is_known() -> None:
    assert str(UnknownNameError("variant", "x", [])) == "unknown variant 'x' (known: none)"


def test_a_provider_that_cannot_run_says_what_can() -> None:
    error = ProviderError("gpu", "no driver", ["cpu"])
    assert str(error) == (
        "provider 'gpu' is not available here: no driver (available: cpu); name several, best first, to step down"
    )


def test_a_missing_package_says_what_to_install() -> None:
    assert "pip install 'edgepack[onnx]'" in str(MissingExtraError("engine 'onnx'", "onnx"))


def test_a_missing_file_is_caught_as_python_calls_it() -> None:
    with pytest.raises(FileNotFoundError, match=r"^no model at there\.onnx; check the path$"):
        raise MissingFileError("there.onnx", "model")


def test_an_output_error_is_an_os_error_and_keeps_its_line() -> None:
    with pytest.raises(OSError, match=r"^x exists already$"):
        raise OutputError("x exists already")
