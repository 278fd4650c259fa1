"""The house keeps its order: who may import whom, and what an import costs."""

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Child

ROOT = Path(__file__).parents[1]
HOMES = {"edgepack": ROOT / "src" / "edgepack"} | {
    f"edgepack.{room}": ROOT / room for room in ("runtime", "convert", "train", "benchmarks")
}

# Modules of the runtime, lowest first: each may import only from the lines above its own.
RUNTIME_LEVELS = (
    "errors timing cgroup digests vulkan chatter cache_folder ways stored_zip",
    "device tensor writing cache",
    "compare steps.base steps.files steps.numbers steps.resampling steps.wav engines.base states streaming",
    "about goldens manifest steps.image steps.table steps.sound steps.outputs steps.text steps.hashes steps.assets "
    "steps.row steps.recording",
    "batches hotpath results pictures engines.onnx_plugins engines.onnx_place engines.onnx_words trials "
    "engines.onnx_profile "
    "engines.litert_library engines.flatbuffer engines.pool engines.litert_chatter",
    "engines.delegation engines.onnx_file engines.tflite_file engines.onnx_providers engines.onnx_binding "
    "engines.tflite_state engines.litert_providers",
    "engines.litert_compiled engines.litert_lane steps.lookup wide engines.openvino_library engines.file_names",
    "engines.openvino_lane engines.openvino_providers",
    "engines.litert_stream engines.openvino_stream steps.categories",
    "engines.prepared engines.integer_ends",
    "engines engines.onnx engines.litert engines.openvino steps pack",
    "steps.samples steps.series",
    "steps.raw",
    "arrays sample_files",
    "candidates providers session verdicts",
    "choices opening",
    "loading",
    "choose trial verify",
    "choose_cli cli serve",
    "serve.datatypes serve.messages serve.settings serve.failures",
    "serve.count_slots serve.count_labels serve.recent serve.processes serve.remote serve.request_log",
    "serve.together serve.predicting serve.warming serve.counts serve.logs",
    "serve.waiting serve.tuning serve.totals",
    "serve.arrivals",
    "serve.batcher serve.exposition",
    "serve.metrics serve.served serve.layout serve.state serve.config serve.guard serve.telling",
    "serve.opened serve.policy serve.proving serve.watch serve.page",
    "serve.models serve.push",
    "serve.asked serve.budget",
    "serve.loader",
    "serve.repository",
    "serve.plane",
    "serve.elements serve.parameters serve.http_flights",
    "serve.tensors serve.http_wire",
    "serve.http_body serve.http_samples serve.http_hosts serve.http_exchange",
    "serve.http_connection",
    "serve.listening",
    "serve.http_about serve.http_admin serve.http_infer",
    "serve.http_predict",
    "serve.http_routes",
    "serve.http_origins serve.openapi",
    "serve.http",
    "serve.proto_text serve.grpc_wire",
    "serve.grpc_messages serve.grpc_tensors",
    "serve.grpc_calls serve.grpc_requests",
    "serve.grpc_stream serve.grpc_health",
    "serve.grpc_service",
    "serve.grpc_face",
    "serve.preview serve.server serve.workers",
    "serve.cli serve.worker",
)

# Room -> what of ours it may import. A name stands for all that lies in it.
FRONT_DOOR = {"edgepack.page", "edgepack.plots", "edgepack.quiet", "edgepack.console"}
MAY_IMPORT = {
    "edgepack.runtime": {"edgepack.runtime"},
    "edgepack.convert": {"edgepack", "edgepack.convert", "edgepack.runtime", *FRONT_DOOR},
    "edgepack.train": {"edgepack", "edgepack.train", "edgepack.runtime", *FRONT_DOOR},
    "edgepack.benchmarks": {"edgepack", "edgepack.benchmarks", "edgepack.runtime", *FRONT_DOOR},
}
EXCEPTIONS = {  # module -> what it may import beyond its room
    "edgepack.runtime.cli": FRONT_DOOR,
    "edgepack.runtime.choose_cli": FRONT_DOOR,
    "edgepack.runtime.serve.cli": {"edgepack", *FRONT_DOOR},
    # --pack: the one command that goes from a recipe to a pack
    "edgepack.train.packing": {"edgepack.convert.build", "edgepack.convert.report"},
    "edgepack.train.cli": {"edgepack.convert.report"},
    # --calibration recipe:NAME: the command alone knows that there are recipes
    "edgepack.convert.cli": {"edgepack.train.calibrating"},
    # a net of its own on the digits that recipes train on
    "edgepack.benchmarks.hard_net": {"edgepack.train.augment", "edgepack.train.data"},
}
# The front door: its helpers lie below every room, its command line above all and imports them by name when called.
HELPERS_MAY_IMPORT = {"edgepack", "edgepack.labels", "edgepack.plots", "edgepack.runtime.errors"}
# The client lies beside them. It speaks what the server speaks and reads samples as the server's steps do: of the
# runtime it takes what needs no engine, and of what serves only values and codecs.
CLIENT_MAY_IMPORT = {
    "edgepack.client", "edgepack.runtime.errors", "edgepack.runtime.tensor", "edgepack.runtime.sample_files",
    "edgepack.runtime.pictures", "edgepack.runtime.steps", "edgepack.runtime.serve.datatypes",
    "edgepack.runtime.serve.messages", "edgepack.runtime.serve.parameters", "edgepack.runtime.serve.tensors",
}  # fmt: skip

# Module of the runtime -> the packages it may import beside numpy and msgspec.
RUNTIME_PACKAGES = {
    "edgepack.runtime.cli": {"cyclopts"},
    "edgepack.runtime.choose_cli": {"cyclopts"},
    "edgepack.runtime.steps.image": {"PIL"},
    "edgepack.runtime.engines.onnx": {"onnxruntime"},
    "edgepack.runtime.engines.onnx_binding": {"onnxruntime"},
    "edgepack.runtime.engines.onnx_plugins": {"onnxruntime"},
    "edgepack.runtime.engines.onnx_providers": {"onnxruntime"},
    "edgepack.runtime.engines.litert_providers": {"openvino"},
    "edgepack.runtime.engines.openvino_library": {"openvino"},
    "edgepack.runtime.serve.cli": {"cyclopts", "httptools"},
    "edgepack.runtime.serve.http_connection": {"httptools"},
    "edgepack.runtime.serve.grpc_calls": {"grpc"},
    "edgepack.runtime.serve.grpc_face": {"grpc", "grpc_health", "grpc_reflection"},
    "edgepack.runtime.serve.grpc_health": {"grpc", "grpc_health", "grpc_reflection"},
    "edgepack.runtime.serve.grpc_messages": {"google"},
    "edgepack.runtime.serve.grpc_service": {"grpc"},
    "edgepack.runtime.serve.proto_text": {"google"},
    "edgepack.runtime.serve.watch": {"watchfiles"},
}
HEAVY = (
    "tensorflow", "keras", "onnx", "tf2onnx", "onnxruntime", "ai_edge_litert", "tflite_runtime", "openvino", "PIL",
    "matplotlib", "jinja2", "psutil", "mlxtend", "pandas", "scipy", "sklearn", "httptools", "grpc", "prometheus_client",
    "watchfiles", "httpx",
)  # fmt: skip


# Layers of Keras are classes that inherit from Keras: these modules are imported by name when a model needs them.
KERAS_MODULES = {f"edgepack.convert.legacy.{name}" for name in ("layers", "masked", "nodes")}


def _modules() -> dict[str, Path]:
    found = {}
    for package, home in HOMES.items():
        for path in sorted(home.rglob("*.py")):
            parts = path.relative_to(home).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


MODULES = _modules()


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _statements(tree: ast.AST, *, types: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module, wherever they stand; those for type checkers only if asked for."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif types or not _is_for_types(node):
            yield from _statements(node, types=types)


def imports(module: str, *, types: bool = True) -> set[str]:
    """The modules that a module of ours imports: ours by their full name, others by their first."""
    found: set[str] = set()
    for node in _statements(ast.parse(MODULES[module].read_text(encoding="utf-8")), types=types):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        else:
            assert node.level == 0, f"{module} imports relatively"
            origin = node.module or ""
            inside = [f"{origin}.{alias.name}" for alias in node.names]
            named = [name if name in MODULES else origin for name in inside]
        found.update(name if name in MODULES else name.partition(".")[0] for name in named)
    return found


def ours(module: str, *, types: bool = True) -> set[str]:
    return imports(module, types=types) & MODULES.keys()


def room_of(module: str) -> str:
    return max((home for home in HOMES if f"{module}.".startswith(f"{home}.")), key=len)


def in_room(room: str) -> list[str]:
    return [module for module in MODULES if room_of(module) == room]


def test_the_table_of_levels_has_every_module_of_the_runtime() -> None:
    listed = [f"edgepack.runtime.{name}" for line in RUNTIME_LEVELS for name in line.split()]
    assert sorted(listed) == sorted(module for module in in_room("edgepack.runtime") if module != "edgepack.runtime")


@pytest.mark.parametrize("level", range(len(RUNTIME_LEVELS)), ids=lambda level: RUNTIME_LEVELS[level].split()[0])
def test_no_arrow_in_the_runtime_points_upward(level: int) -> None:
    below = {f"edgepack.runtime.{name}" for line in RUNTIME_LEVELS[:level] for name in line.split()}
    for name in RUNTIME_LEVELS[level].split():
        module = f"edgepack.runtime.{name}"
        upward = ours(module) - below - EXCEPTIONS.get(module, set())
        assert not upward, f"{module} imports {upward}, which do not lie below it"


def test_packages_only_re_export() -> None:
    for module in ("edgepack", "edgepack.runtime"):
        assert not ours(module, types=False), "what it re-exports is imported when it is first used"


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) != "edgepack"])
def test_a_room_imports_only_what_it_may(module: str) -> None:
    allowed = MAY_IMPORT[room_of(module)]
    names = {name for name in ours(module) if name not in EXCEPTIONS.get(module, set())}
    strange = {name for name in names if name not in allowed and room_of(name) not in allowed - {"edgepack"}}
    assert not strange


@pytest.mark.parametrize("module", sorted(FRONT_DOOR))
def test_helpers_of_the_front_door_lie_below_every_room(module: str) -> None:
    assert ours(module) <= HELPERS_MAY_IMPORT


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("edgepack.client")])
def test_the_client_needs_of_the_runtime_what_needs_no_engine(module: str) -> None:
    strange = {
        name for name in ours(module) if not any(f"{name}.".startswith(f"{allowed}.") for allowed in CLIENT_MAY_IMPORT)
    }
    assert strange <= {"edgepack"}
    assert imports(module) - MODULES.keys() - sys.stdlib_module_names <= {"numpy", "msgspec", "httpx"}


def test_the_client_imports_neither_an_engine_nor_what_serves_nor_httpx(child: Child) -> None:
    modules = [name for name in MODULES if name.startswith("edgepack.client")]
    done = child(_IMPORT_EACH, json.dumps(HEAVY), json.dumps(modules), without=(*HEAVY, "cyclopts", "rich"))
    assert done.stdout == "done\n", done.stderr


@pytest.mark.parametrize("module", ["edgepack.cli", "edgepack.__main__"])
def test_the_command_line_imports_no_room_before_it_is_called(module: str) -> None:
    assert ours(module) <= {"edgepack", "edgepack.cli", "edgepack.runtime.errors"}


@pytest.mark.parametrize("module", in_room("edgepack.runtime"))
def test_the_runtime_needs_numpy_and_msgspec_alone(module: str) -> None:
    others = imports(module) - MODULES.keys() - sys.stdlib_module_names
    assert others <= {"numpy", "msgspec"} | RUNTIME_PACKAGES.get(module, set())


def test_nothing_imports_in_a_circle() -> None:
    graph = {module: ours(module, types=False) - {module} for module in MODULES}
    while graph:
        free = {module for module, needed in graph.items() if not needed & graph.keys()}
        assert free, f"a circle runs through {sorted(graph)}"
        graph = {module: needed for module, needed in graph.items() if module not in free}


_IMPORT_EACH = """
import importlib, json, sys
heavy = set(json.loads(sys.argv[1]))
for module in json.loads(sys.argv[2]):
    importlib.import_module(module)
    found = heavy & set(sys.modules)
    assert not found, f"{module} imports {found}"
print("done")
"""


@pytest.mark.parametrize("room", [room for room in HOMES if room != "edgepack"])
def test_every_module_of_a_room_imports_alone_and_lightly(child: Child, room: str) -> None:
    done = child(
        _IMPORT_EACH, json.dumps(HEAVY), json.dumps([name for name in in_room(room) if name not in KERAS_MODULES])
    )
    assert done.stdout == "done\n", done.stderr


def test_the_runtime_imports_where_only_numpy_and_msgspec_are_installed(child: Child) -> None:
    modules = [module for module in in_room("edgepack.runtime") if module not in EXCEPTIONS]
    done = child(_IMPORT_EACH, "[]", json.dumps(modules), without=(*HEAVY, "cyclopts", "rich"))
    assert done.stdout == "done\n", done.stderr


_LOADED = """
import sys
print([name for name in ("numpy", "onnxruntime", "ai_edge_litert", "tensorflow") if name in sys.modules])
"""


@pytest.mark.parametrize(
    "code",
    [
        "import edgepack", "import edgepack; edgepack.__version__; dir(edgepack)", "import edgepack.runtime",
        "from edgepack.__main__ import main; import contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()): assert main(['--help']) == 0",
        "from edgepack.__main__ import main; import contextlib, io\n"
        "with contextlib.redirect_stderr(io.StringIO()): assert main(['verfy']) == 2",
    ],
    ids=["edgepack", "its-version", "the-runtime", "help", "wrong-usage"],
)  # fmt: skip
def test_the_front_door_imports_neither_numpy_nor_an_engine(child: Child, code: str) -> None:
    done = child(code + _LOADED)
    assert done.stdout == "[]\n", done.stderr


def test_public_names_are_there_when_they_are_used(child: Child) -> None:
    code = "import edgepack\nfor name in edgepack.__all__: getattr(edgepack, name)\nprint(edgepack.load.__module__)"
    assert child(code).stdout == "edgepack.runtime.loading\n"


def test_a_name_that_is_not_public_is_an_attribute_error(child: Child) -> None:
    done = child("import edgepack\nedgepack.lode")
    assert "AttributeError: module 'edgepack' has no attribute 'lode'" in done.stderr


def test_the_packages_of_the_project_are_the_folders() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = project["tool"]["setuptools"]
    folders = sorted(module for module, path in MODULES.items() if path.name == "__init__.py")
    assert setuptools["packages"] == folders
    assert {name: ROOT / place for name, place in setuptools["package-dir"].items()} == HOMES
