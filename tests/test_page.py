"""The page: whole in one file, readable by eye and ear, and safe with any name."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from edgepack.page import Facts, Mark, Notes, Plot, Table, render
from edgepack.plots import Bar, Point, bars, require, scatter
from edgepack.runtime.errors import MissingExtraError

HOSTILE = "<script>alert('x')</script>\"&$\\frac{\x00"
POINTS = (Point("onnx-float32", 118.2, 1.6, 1.6, "onnx"), Point("tflite-int8", 41.0, 0.4, 0.4, "litert"))
BARS = (Bar("onnx-float32", 118.2, None, 131.0, "onnx"), Bar("tflite-int8", 41.0, 40.0, 42.0, "litert", "41 µs"))
TABLE = Table(
    "Variants",
    ("Variant", "Size", "Verdict"),
    (("onnx-float32", "1.6 MB", Mark("kept", "good")), ("tflite-int8", "\u2013", Mark("worse", "bad"))),
    note="Two variants.",
)


class _Tags(HTMLParser):
    """Every tag with its attributes, and whether each is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page() -> str:
    return render(
        "digits",
        "What was measured.",
        [
            TABLE,
            Plot("Latency", bars(BARS, x_label="µs"), "Shorter is better."),
            Plot("Size", scatter(POINTS, x_label="µs", y_label="MB", log_x=True)),
            Plot("Size again", scatter(POINTS, x_label="µs", y_label="MB")),
            Facts("This machine", (("Processor", "one"), ("Cores", "2"))),
        ],
    )


def test_every_tag_is_closed_and_nothing_is_fetched(page: str) -> None:
    found = _Tags(page)
    assert found.open == []
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in found.tags}
    assert not re.search(r"url\((?!#)|@import", page)
    assert all(value.startswith("#") for _, attributes in found.tags if (value := attributes.get("href")))
    assert not [attributes for _, attributes in found.tags if "src" in attributes]


def test_no_id_is_given_twice_and_every_reference_is_met(page: str) -> None:
    ids = [attributes["id"] for _, attributes in _Tags(page).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page)[0]) - {""} <= set(ids)
    named = {name for one, other in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page) for name in (one, other)}
    assert named - {""} <= set(ids)


def test_tables_and_drawings_can_be_heard(page: str) -> None:
    found = _Tags(page)
    assert len(found.all("h1")) == 1
    assert len(found.all("h2")) == 5
    assert [th["scope"] for th in found.all("th")] == ["col"] * 3 + ["row"] * 2
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in found.all("svg"))
    assert "onnx-float32 118; tflite-int8 41 µs" in page
    assert "<caption>Variants</caption>" in page


def test_numbers_are_set_right_and_words_left() -> None:
    times, minus = "\u00d7", "\u2212"
    rows = (
        ("a", "1.5 MB", "1,234", "99.1 %", "int8", f"1.2{times}"),
        ("b", "\u2013", "2e-05", "3%", "3 of 4", f"{minus}1.0{times}"),
    )
    assert Table("t", tuple("123456"), rows).numeric == (False, True, True, True, False, True)
    assert Table("t", ("a", "b"), ()).numeric == (False, False)


def test_colours_of_text_follow_the_page() -> None:
    for svg in (bars(BARS, x_label="µs"), scatter(POINTS, x_label="µs", y_label="MB")):
        assert "currentColor" in svg
        assert "#010203" not in svg
        assert "DejaVu" not in svg


@pytest.mark.parametrize("log_x", [False, True], ids=["linear", "logarithmic"])
def test_hostile_names_stay_text(log_x: bool) -> None:
    drawings = (
        bars([Bar(HOSTILE, 2, None, 3, HOSTILE, HOSTILE), Bar("b", 1, group="_g")], x_label=HOSTILE, log_x=log_x),
        scatter(
            [Point(HOSTILE, 2, 2, 1, HOSTILE), Point("b", 1, 1, 1, "_g")],
            x_label=HOSTILE, y_label=HOSTILE, title=HOSTILE, log_x=log_x,
        ),
    )  # fmt: skip
    table = Table(HOSTILE, (HOSTILE,), ((HOSTILE,), (Mark(HOSTILE),)), HOSTILE)
    page = render(
        HOSTILE,
        HOSTILE,
        [
            table,
            Notes(HOSTILE, (HOSTILE,)),
            Facts(HOSTILE, ((HOSTILE, HOSTILE),)),
            *(Plot(HOSTILE, d, HOSTILE) for d in drawings),
        ],
    )
    assert "script" not in {tag for tag, _ in _Tags(page).tags}
    assert "<script" not in page
    for drawing in drawings:
        words = "".join(ET.fromstring(drawing).itertext())
        assert "<script>alert('x')</script>\"&$\\frac{�" in words


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert bars(BARS, x_label="µs") == bars(BARS, x_label="µs")
    assert scatter(POINTS, x_label="a", y_label="b") == scatter(POINTS, x_label="a", y_label="b")


@pytest.mark.parametrize("log_x", [False, True], ids=["linear", "logarithmic"])
def test_nothing_to_draw_is_still_a_drawing(log_x: bool) -> None:
    nowhere = float("nan")
    assert scatter([], x_label="x", y_label="y", log_x=log_x).startswith("<svg")
    assert bars([], x_label="x", log_x=log_x).startswith("<svg")
    assert "lost" not in scatter([Point("lost", nowhere, 1)], x_label="x", y_label="y", log_x=log_x)
    assert "lost" not in bars([Bar("lost", nowhere)], x_label="x", log_x=log_x)


def test_what_a_logarithmic_axis_cannot_show_is_left_out() -> None:
    drawing = scatter([Point("zero", 0, 1), Point("one", 1, 1)], x_label="x", y_label="y", log_x=True)
    assert "one" in drawing
    assert "zero" not in drawing


@pytest.mark.parametrize("order", [("onnx", "litert"), ("litert", "onnx")], ids=["one-first", "other-first"])
def test_a_group_keeps_its_colour_whichever_comes_first(order: tuple[str, str]) -> None:
    first, other = "#3b76d6", "#d9691e"
    for drawn in (
        bars([Bar("b", 1, group=order[0])], x_label="x", groups=order),
        scatter([Point("b", 1, 1, group=order[0])], x_label="x", y_label="y", groups=order),
    ):
        assert first in drawn
        assert other not in drawn
        assert order[0] in drawn  # its colour is named, though there is no other
    assert other in bars([Bar("b", 1, group=order[1])], x_label="x", groups=order)


def test_letters_that_matplotlib_lacks_are_drawn_by_the_browser() -> None:
    assert "数字" in scatter([Point("数字", 1, 1)], x_label="数", y_label="字")


def test_labels_of_bubbles_in_one_place_lie_apart() -> None:
    drawing = scatter([Point(f"point-{n}", 1, 1) for n in range(6)], x_label="x", y_label="y")
    texts = [element for element in ET.fromstring(drawing).iter() if (element.text or "").startswith("point-")]
    assert len({element.get("transform") for element in texts}) == 6


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    import matplotlib as mpl

    ours = ("font.size", "svg.fonttype", "svg.hashsalt", "text.parse_math", "axes.edgecolor")
    before = [mpl.rcParams[name] for name in ours]
    bars(BARS, x_label="µs")
    assert [mpl.rcParams[name] for name in ours] == before


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_a_missing_package_is_one_line_that_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgepack.plots.find_spec", lambda name: None if name == missing else object())
    wanted = rf"{missing}, which .*, is not installed; run: pip install 'edgepack\[page\]'"
    with pytest.raises(MissingExtraError, match=wanted):
        require()
    with pytest.raises(MissingExtraError, match=wanted):
        render("t", "", [])
    with pytest.raises(MissingExtraError, match=wanted):
        bars(BARS, x_label="µs")
