"""The page in a real browser: a person draws, types, records and fills in, and reads what the model says."""

import json
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.serve.guard import Guard
from edgepack.runtime.serve.settings import Settings
from tests.runtime.serve import trained
from tests.runtime.serve.http_running import running
from tests.zoo import packs

pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")
_CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(_CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]

ROOT = Path(__file__).parents[3]
SEVEN = [[(0.28, 0.22), (0.72, 0.22), (0.42, 0.82)]]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
_TIMEOUT_MS = 15_000
_REFUSED = "Failed to load resource: the server responded with a status of 4"  # Chromium's own line on each

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def trained_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    for make in (trained.digits, trained.reviews, trained.loudness, trained.total):
        make(folder / f"{make.__name__}.edgepack")
    packs.write(folder / "pair.edgepack", packs.pair())
    return folder


@pytest.fixture(scope="module")
def server(trained_packs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    for pack in trained_packs.iterdir():
        shutil.copy(pack, folder)
    with running(Settings(str(folder))) as found:
        yield found.url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Open a page of a server; in the end, nothing in its console may have been an error."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_one(url: str, model: str = "", *, may_be_refused: bool = False, **options: Any) -> Any:
        def listen(message: Any) -> None:
            is_refusal = message.text.startswith(_REFUSED) and may_be_refused
            if message.type == "error" and not is_refusal:
                complaints.append(message.text)

        context = chromium.new_context(**{"viewport": DESK, "locale": "en-US", **options})
        context.set_default_timeout(_TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{url}/#/{model}")
        if model:
            page.locator("h1", has_text=model).wait_for()
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not complaints


def draw(page: Any, strokes: list[list[tuple[float, float]]]) -> None:
    """Draw with the mouse; places are shares of the drawing area."""
    pad = page.locator("canvas.pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    for stroke in strokes:
        for index, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6 if index else 1)
            if index == 0:
                page.mouse.down()
        page.mouse.up()


def best(page: Any) -> str:
    """The first label of the answer."""
    text: str = page.locator(".scores li:first-child .name").inner_text()
    return text


def run(page: Any) -> None:
    page.locator("form.panel button.main").click()


def wide_by(page: Any) -> int:
    """Pixels by which the page is wider than its window."""
    pixels: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return pixels


def test_a_drawn_seven_is_read_as_seven(open_page: Open, server: str) -> None:
    page = open_page(server, "digits")
    draw(page, SEVEN)
    assert best(page) == "7"


@pytest.mark.parametrize("where", [(0.1, 0.1, 0.3), (0.45, 0.5, 0.5)], ids=["small in a corner", "low on the right"])
def test_a_seven_is_read_wherever_it_stands(open_page: Open, server: str, where: tuple[float, float, float]) -> None:
    left, top, size = where
    page = open_page(server, "digits", viewport=PHONE)
    draw(page, [[(left + size * x, top + size * y) for x, y in stroke] for stroke in SEVEN])
    assert best(page) == "7"


def test_a_digit_can_be_drawn_with_keys_alone(open_page: Open, server: str) -> None:
    page = open_page(server, "digits")
    page.locator("canvas.pad").focus()
    for key in [*["ArrowUp"] * 6, "Space", *["ArrowDown"] * 12, "Space"]:
        page.keyboard.press(key)
    assert best(page) == "1"


def test_an_image_is_chosen_and_its_colours_swapped(open_page: Open, server: str, tmp_path: Path) -> None:
    from PIL import Image, ImageOps
    from playwright.sync_api import expect

    page = open_page(server, "digits")
    page.set_input_files("input[type=file]", ROOT / "examples" / "digits" / "three.png")
    assert best(page) == "3"
    with Image.open(ROOT / "examples" / "digits" / "nine.png") as nine:
        ImageOps.invert(nine.convert("L")).save(tmp_path / "dark-on-light.png")
    page.set_input_files("input[type=file]", tmp_path / "dark-on-light.png")
    page.get_by_label("Swap dark and light").check()
    expect(page.locator(".scores .name").first).to_have_text("9")


def test_a_file_that_is_no_image_is_refused_in_words(open_page: Open, server: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    (tmp_path / "letter.png").write_text("this is a letter", encoding="utf-8")
    page = open_page(server, "digits", may_be_refused=True)
    page.set_input_files("input[type=file]", tmp_path / "letter.png")
    expect(page.locator(".problem")).to_contain_text("The server does not take this: ")


def test_a_chinese_sentence_is_judged(open_page: Open, server: str) -> None:
    from playwright.sync_api import expect

    page = open_page(server, "reviews", locale="zh-CN")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    for sentence, sentiment in (("这本书写得很好，推荐给大家", "positive"), ("太差了，房间又脏又吵", "negative")):
        page.get_by_label("文本").fill(sentence)
        run(page)
        expect(page.locator(".scores .name").first).to_have_text(sentiment)


def test_a_row_is_filled_in_or_pasted(open_page: Open, server: str) -> None:
    from playwright.sync_api import expect

    page = open_page(server, "total")
    for column, value in (("width", "1"), ("height", "2.5"), ("depth", "3")):
        page.get_by_label(column).fill(value)
    run(page)
    assert page.locator(".large").inner_text() == "6.5 cm"
    page.get_by_label("Paste a line of CSV").fill("10,20,30.5")
    expect(page.locator(".large")).to_have_text("60.5 cm")
    assert page.get_by_label("height").input_value() == "20"


def test_an_empty_field_is_named_and_focused(open_page: Open, server: str) -> None:
    page = open_page(server, "total")
    page.get_by_label("width").fill("1")
    run(page)
    assert page.locator(".problem").inner_text() == "Column height needs a number."
    assert page.get_by_label("height").evaluate("field => field === document.activeElement")


def test_a_sound_is_recorded_and_sent_at_the_models_own_rate(open_page: Open, server: str) -> None:
    page = open_page(server, "loudness")
    page.get_by_role("button", name="Record").click()
    page.get_by_text("sent as .wav at 8000 Hz").wait_for()  # it ends by itself after the model's one second
    page.locator(".large").wait_for()
    assert float(page.locator(".large").inner_text().removesuffix(" FS")) > 0  # Chromium's false microphone beeps


def test_a_sound_file_of_another_rate_is_sent_right(open_page: Open, server: str, tmp_path: Path) -> None:
    tone = np.rint(0.5 * 32767 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)).astype("<i2")
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(tone.tobytes())
    page = open_page(server, "loudness")
    page.set_input_files("input[type=file]", tmp_path / "tone.wav")
    loud = float(page.locator(".large").inner_text().removesuffix(" FS"))
    assert loud == pytest.approx(0.5 / np.sqrt(2), abs=0.01)  # 16 bits, and the ends of the resampling


def test_a_model_without_steps_takes_tensors(open_page: Open, server: str) -> None:
    page = open_page(server, "pair")
    for name, values in (("Tensor: a", "[[1, 2]]"), ("Tensor: b", "[[10, 20]]")):
        page.get_by_label(name).fill(values)
    run(page)
    assert page.locator(".output", has_text="total").locator("pre").inner_text().split() == ["11", "22"]


def test_the_same_request_runs_as_curl_and_as_python(open_page: Open, server: str, tmp_path: Path) -> None:
    page = open_page(server, "digits")
    draw(page, SEVEN)
    page.locator(".scores").wait_for()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save drawing.png").click()
    saved.value.save_as(tmp_path / "drawing.png")
    curl, python = (page.get_by_role("region", name=name, exact=True).inner_text() for name in ("curl", "Python"))
    if shutil.which("curl"):
        done = subprocess.run(["sh", "-c", f"{curl} --silent"], cwd=tmp_path, capture_output=True, check=True)
        assert json.loads(done.stdout)["results"][0][0]["label"] == "7"
    done = subprocess.run([sys.executable, "-c", python], cwd=tmp_path, capture_output=True, check=True)
    assert b"label='7'" in done.stdout


def test_a_new_version_is_seen_while_the_page_is_open(open_page: Open, trained_packs: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "digits").mkdir(parents=True)
    shutil.copy(trained_packs / "digits.edgepack", models / "digits" / "1.edgepack")
    with running(Settings(str(models))) as found:
        page = open_page(found.url, "digits")
        draw(page, SEVEN)
        page.get_by_text("Answered by version 1.").wait_for()
        shutil.copy(trained_packs / "digits.edgepack", models / "digits" / "2.part")
        (models / "digits" / "2.part").rename(models / "digits" / "2.edgepack")
        page.get_by_text("digits: version 2 answers now").wait_for()
        run(page)  # the drawing is still there
        page.get_by_text("Answered by version 2.").wait_for()
        page.locator("#versions-table tr", has_text="not loaded").wait_for()
        (models / "digits" / "3.edgepack").write_bytes(b"no pack at all")
        page.locator("#versions-table .reason.bad", has_text="is not a pack").wait_for()
        page.get_by_text("Answered by version 2.").wait_for()


def test_a_token_is_asked_for_and_kept_in_the_tab_alone(open_page: Open, trained_packs: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('read = ["a-token-to-read-with"]\nadmin = ["a-token-to-change-with"]\n', encoding="utf-8")
    tokens.chmod(0o600)
    (tmp_path / "models").mkdir()
    shutil.copy(trained_packs / "total.edgepack", tmp_path / "models")
    settings = Settings(str(tmp_path / "models"), token_file=str(tokens))
    with running(settings, guard=Guard(settings)) as found:
        page = open_page(found.url, may_be_refused=True)
        page.get_by_role("textbox", name="Token").fill("a-token-to-read-with")
        page.get_by_role("button", name="Use token").click()
        page.locator("h1", has_text="total").wait_for()
        page.get_by_label("Paste a line of CSV").fill("1,2,3")
        page.get_by_text("6 cm").wait_for()
        assert "$EDGEPACK_TOKEN" in page.get_by_role("region", name="curl", exact=True).inner_text()
        assert "a-token-to-read-with" not in page.content()
        page.get_by_role("button", name="Unload version 1").click()
        page.get_by_text("This changes what is served, and needs an admin token.").wait_for()
        stored = page.evaluate("[sessionStorage.getItem('edgepack-token'), JSON.stringify({...localStorage})]")
        assert stored[0] == "a-token-to-read-with"
        assert "a-token" not in stored[1]


def test_an_address_that_is_cut_off_opens_the_first_model(open_page: Open, server: str) -> None:
    page = open_page(server)
    page.goto(f"{server}/?again#/%E4%B")
    page.locator("#connection", has_text="connected").wait_for()
    page.locator("h1", has_text="digits").wait_for()


def test_figures_are_drawn_as_the_server_tells_them(open_page: Open, server: str) -> None:
    page = open_page(server)
    told = {
        "model": "digits", "version": "1", "requests": 1234, "failures": 5, "rows": 1234, "p50_us": 1500.0,
        "p90_us": 2500.0, "p99_us": 9000.0, "per_second": [0] * 50 + [20] * 10,
        "latency_p50_us": [None] * 50 + [1500.0] * 10,
    }  # fmt: skip
    page.route("**/v2/statistics", lambda route: route.fulfill(json=[told]))
    page.goto(f"{server}/#/digits")
    page.get_by_text("1,234").wait_for()
    page.get_by_text("9 ms", exact=True).wait_for()
    page.get_by_role("img", name="Requests per second over the last minute; now 20").wait_for()
    assert page.locator("#figures path.line").count() == 2


def test_language_and_colours_are_chosen_and_remembered(open_page: Open, server: str) -> None:
    page = open_page(server, "digits")
    page.get_by_role("button", name="中文").click()
    page.get_by_role("heading", name="试一试").wait_for()
    for _ in range(2):
        page.locator("#theme").click()
    page.reload()
    page.get_by_role("heading", name="试一试").wait_for()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_phone_in_all_colours_and_languages(open_page: Open, server: str, colours: str, locale: str) -> None:
    page = open_page(server, "digits", locale=locale, color_scheme=colours, viewport=PHONE)
    draw(page, SEVEN)
    page.locator(".scores").wait_for()
    assert not barriers(page)
    assert wide_by(page) <= 0


def test_a_wide_window_has_no_barrier_either(open_page: Open, server: str) -> None:
    page = open_page(server, "digits")
    draw(page, SEVEN)
    page.locator(".scores").wait_for()
    assert not barriers(page)


@pytest.mark.parametrize("model", ["reviews", "loudness", "total", "pair"])
def test_every_kind_of_playground_fits_a_phone_and_has_no_barrier(open_page: Open, server: str, model: str) -> None:
    page = open_page(server, model, viewport=PHONE, color_scheme="dark")
    page.locator("form.panel").wait_for()
    assert not barriers(page)
    assert wide_by(page) <= 0


def barriers(page: Any) -> list[str]:
    """What axe finds that is serious or critical."""
    from axe_core_python.sync_playwright import Axe

    found = Axe().run(page)["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in {"serious", "critical"}]
