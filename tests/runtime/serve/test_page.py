"""The page's files: what is served, that a strict policy holds them, and that both languages say everything."""

import re
import tomllib
import urllib.request
from pathlib import Path

import pytest

from edgepack.runtime.serve.page import PAGE_CSP, PAGE_HEADERS, files
from edgepack.runtime.serve.settings import Settings
from tests.runtime.serve.http_running import running

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "runtime" / "serve" / "static"
SCRIPTS = sorted(path for path in files() if path.endswith(".js"))


def text_of(path: str) -> str:
    return files()[path][1].decode()


def test_every_file_of_the_folder_is_served_and_has_its_type() -> None:
    wanted = {f"/page/{file.relative_to(STATIC).as_posix()}" for file in STATIC.rglob("*") if file.is_file()}
    assert set(files()) == wanted - {"/page/index.html"} | {"/"}
    assert files()["/"][0] == "text/html; charset=utf-8"
    assert {kind for path, (kind, _) in files().items() if path.endswith(".js")} == {"text/javascript; charset=utf-8"}


def test_what_the_page_names_is_there() -> None:
    named = set(re.findall(r'(?:src|href)="(/page/[^"]*)"', text_of("/")))
    named |= {found for path in SCRIPTS for found in re.findall(r'"(/page/[^"]+)"', text_of(path))}
    assert len(named) > 5
    assert named <= files().keys()


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_imports_is_there(script: str) -> None:
    folder = script.rpartition("/")[0]
    for name in re.findall(r'^(?:import|export)\b[^;]*?from "(\.[^"]+)";', text_of(script), re.MULTILINE):
        parts: list[str] = []
        for part in f"{folder}/{name}".split("/"):
            parts = parts[:-1] if part == ".." else parts if part == "." else [*parts, part]
        assert "/".join(parts) in files(), f"{script} imports {name}"


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    html = text_of("/")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script\b[^>]*>([^<]*)</script>", html) == ["", ""]
    for path in files():
        assert not re.search(r"""["'(](https?:)?//(?!www\.w3\.org/2000/svg)\w""", text_of(path)), path
    for script in SCRIPTS:
        assert not re.search(r"(inner|outer|Adjacent)HTML|document\.write|\beval\(|new Function", text_of(script))


def test_the_policy_takes_what_comes_from_this_server_alone() -> None:
    policy = dict(part.split(" ", 1) for part in PAGE_CSP.split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in PAGE_CSP
    assert PAGE_HEADERS["content-security-policy"] == PAGE_CSP


def test_both_languages_have_the_same_texts_with_the_same_gaps() -> None:
    english, chinese = (
        dict(re.findall(r'^  (\w+): "(.*)",$', block, re.MULTILINE))
        for block in re.findall(r"^const \w+ = \{\n(.*?)^\};", text_of("/page/strings.js"), re.MULTILINE | re.DOTALL)
    )
    assert len(english) > 100
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


def test_every_text_that_the_page_asks_for_is_in_the_table() -> None:
    table = set(re.findall(r'^  (\w+): "', text_of("/page/strings.js"), re.MULTILINE))
    asked = set(re.findall(r'data-text="(\w+)"', text_of("/")))
    for script in (one for one in SCRIPTS if one != "/page/dom.js"):  # which says how texts are asked for
        asked |= set(re.findall(r'\b(?:say|sayLabel|sayHint): \[?"(\w+)"', text_of(script)))
        asked |= set(re.findall(r'\b(?:t|button|fileChooser|FieldError)\("(\w+)"', text_of(script)))
        asked |= set(re.findall(r'\bsay\((?:at\("[\w-]+"\)|[\w.]+), "(?:text|label|hint)", "(\w+)"', text_of(script)))
    assert len(asked) > 70
    assert asked <= table


def test_the_wheel_takes_the_files_along() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    told = project["tool"]["setuptools"]["package-data"]["edgepack.runtime.serve"]
    listed = {file for pattern in told for file in (ROOT / "runtime" / "serve").glob(pattern) if file.is_file()}
    assert listed >= {file for file in STATIC.rglob("*") if file.is_file()}


def test_the_server_gives_the_page_with_its_policy_to_everyone(tmp_path: Path, mlp_pack: Path) -> None:
    (tmp_path / "mlp.edgepack").write_bytes(mlp_pack.read_bytes())
    with running(Settings(str(tmp_path))) as found:
        for path, (kind, body) in files().items():
            with urllib.request.urlopen(f"{found.url}{path}") as answer:
                assert answer.read() == body
                assert answer.headers["content-type"] == kind
                assert answer.headers["content-security-policy"] == PAGE_CSP
                assert answer.headers.get_all("x-content-type-options") == ["nosniff"]
