"""The page in a real browser: Debian's chromium, driven by playwright."""

import base64
import re
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from src.command import PRESETS
from src.commands import demo
from src.commands.demo_words import WORDS, words_of
from src.commands.demo_work import Cancelled, Desk, Wish
from src.commands.infer import last_names
from src.errors import UserError
from src.imaging.io import read_image, write_image
from tests import tiny

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300  # seconds in which a busy machine does anything that is waited for here
DROP = """content => {
    const data = new DataTransfer(), bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
    data.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
    const place = document.querySelector("#picture input[type=file]").closest("button");
    place.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
COPY = """content => navigator.clipboard.write([new ClipboardItem({
    "image/png": new Blob([Uint8Array.from(atob(content), c => c.charCodeAt(0))], {type: "image/png"}),
})])"""
TILE = 256  # so that a large picture has many passes, of which one is soon done


class Server:
    """demo.py in a process of its own, whose home and temporary folders are in a folder."""

    def __init__(self, folder, *arguments, port=None):
        self.temporary, self.home = folder / "tmp", folder / "home"
        self.temporary.mkdir()
        self.home.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(self.temporary))
            patch.setenv("HOME", str(self.home))
            patch.delenv("MINDSPORE_SR_CACHE", raising=False)
            arguments = "--port", port or free_port(), "--device", "CPU", *arguments
            self.process = tiny.start("demo.py", *arguments, cwd=self.home)
        self.port, self.lines, self.address = arguments[1], [], self.process.stdout.readline().strip()
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)
        self._reader.start()

    def pictures(self):
        """The pictures that are on the disk now."""
        return {path.name for path in self.temporary.rglob("*.*") if path.is_file()}

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._reader.join()
        return status


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("gradio", reason="pip install -r requirements-demo.txt")
    folder = tmp_path_factory.mktemp("demo")
    server = Server(folder, "--tile", TILE)
    assert server.address.startswith("http://127.0.0.1:"), server.end()
    yield server
    assert server.end() == 130
    assert [line for line in server.lines if "Traceback" in line] == []
    assert list(server.temporary.iterdir()) == []
    assert list(server.home.rglob("*")) == []


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """The page in a browser, and what one does there."""

    def __init__(self, browser, server, locale="en-GB"):
        self._context = browser.new_context(locale=locale, viewport={"width": 1280, "height": 1000})
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        with self.page.expect_response(re.compile("/gradio_api/(run|queue)/")):  # what is typed before the page's
            self.page.goto(server.address)  # own first event, which asks for the models, may get lost
        self.result, self.files = self.page.locator("#result"), self.page.locator("#files")

    def give(self, path, where="#picture"):
        with self.page.expect_response(re.compile("/upload")):
            self.page.locator(f"{where} input[type=file]").set_input_files(path)
        self.page.locator(f"{where} img").wait_for(state="attached")

    def press(self, name):
        self.page.locator(f"#{name}").click()

    def enlarge(self, path, result="{}_x4"):
        """Enlarge a picture; wait for its result, and return that as it is downloaded, a path."""
        self.give(path)
        self.run()
        return self.download(result.format(path.stem))

    def run(self):
        """Press the button; wait until the files to keep are those of the new result, which has a folder of its own."""
        before = self.files.locator("a").evaluate_all("links => links.map(link => link.href)[0]")
        self.press("enlarge")
        self.page.wait_for_function(
            "before => { const link = document.querySelector('#files a'); return link && link.href != before; }",
            arg=before,
        )

    def download(self, name):
        self.files.get_by_text(name, exact=True).wait_for()
        with self.page.expect_download() as download:
            self.files.locator("a").first.click()
        return Path(download.value.path())

    def progress(self, text):
        """Wait until the progress bar says so, a regular expression."""
        self.result.get_by_text(re.compile(text)).wait_for()

    def told(self, text):
        """Wait for a line on the page, and close it."""
        toast = self.page.locator(".toast-body").filter(has_text=text)
        toast.wait_for()
        words = toast.inner_text()
        toast.locator("button").click()
        toast.wait_for(state="detached")
        return words

    def open(self, name):
        self.page.locator(f"#{name} > button, #{name} button.label-wrap").first.click()

    def close(self):
        self._context.close()


@pytest.fixture
def tab(browser, server):
    tab = Tab(browser, server)
    yield tab
    tab.close()


@pytest.fixture
def picture(tmp_path, photo):
    """``picture(name, side)`` writes a part of a photograph and returns its path."""

    def picture(name="eye.png", side=24):
        path = tmp_path / "given" / name
        write_image(path, photo[100 : 100 + side, 200 : 200 + side])
        return path

    return picture


class Load:
    """``load(path)`` of a tiny diffusion model, counted."""

    def __init__(self):
        self.count = 0

    def __call__(self, path):
        self.count += 1
        return tiny.upscaler(tiny.config("srdiff"))


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "desk", tmp_path, Load(), 1_000_000)


def test_a_tab_has_its_last_result_and_leaves_nothing(desk, picture):
    told = []
    wish = Wish(picture(), "checkpoints/srdiff_lite_x4.ckpt", steps=2, samples=2)
    first = desk.enlarge("a", wish, lambda *state: told.append(state))
    assert [path.name for path in first.files] == [f"eye_x4_{end}.png" for end in ("1", "2", "mean", "std", "best")]
    assert [state[:2] for state in told] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)] and told[-1][2] == 0
    assert np.array_equal(read_image(first.after).rgb, read_image(first.files[-1]).rgb)
    other = desk.enlarge("b", wish, lambda *_: None)
    second = desk.enlarge("a", wish._replace(samples=1, process=True), lambda *_: None)
    assert not first.after.exists() and second.process.exists() and other.after.exists()
    desk.close("a")
    desk.close("b")
    assert list(desk.folder.iterdir()) == [] and not wish.picture.exists()  # which was its upload


def test_work_is_given_up_in_the_middle(desk, picture):
    wish = Wish(picture(), "checkpoints/srdiff_lite_x4.ckpt", steps=4)
    told = []

    def tell(done, *_):
        told.append(done)
        if done == 2:
            desk.cancel("a")

    with pytest.raises(Cancelled):
        desk.enlarge("a", wish, tell)
    assert told == [0, 1, 2] and list(desk.folder.iterdir()) == []
    assert desk.enlarge("a", wish, lambda *_: None).after.exists()


def test_what_is_no_upload_is_not_deleted(desk, tmp_path):
    (tmp_path / "desk" / "own").mkdir()
    for path in (tmp_path, tmp_path / "desk", tmp_path / "desk" / "own" / "x.png", tmp_path / ".." / "x"):
        desk.hold("tab", [str(path)])
        desk.hold("tab", [])
    assert (tmp_path / "desk" / "own").is_dir()


def test_a_picture_that_another_tab_has_given_too_is_kept(desk, picture):
    path = picture()
    desk.hold("a", [path])
    desk.hold("b", [path])
    desk.close("a")
    assert path.exists()
    desk.hold("b", [])
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"picture": None}, "there is no picture yet"),
        ({"samples": 17}, "from 1 to 16"),
        ({"seed": -1}, "the seed from 0"),
        ({"samples": 2, "process": True}, "of one sample"),
        ({"model": "mine/model.ckpt"}, "reload the page"),
        ({"temperature": -1.0}, "the temperature must be a number from 0"),
    ],
)
def test_what_cannot_be_done_is_said(desk, picture, change, line):
    wish = Wish(picture(), "checkpoints/srdiff_lite_x4.ckpt")._replace(**change)
    with pytest.raises(UserError, match=line):
        desk.enlarge("a", wish, lambda *_: None)
    assert list(desk.folder.iterdir()) == []


def test_the_words_of_a_browser():
    assert words_of("fr-FR,zh-CN;q=0.9,en;q=0.8") is WORDS["zh"]
    assert words_of(None) is words_of("de") is words_of("en-GB,zh") is WORDS["en"]
    assert WORDS["zh"].keys() == WORDS["en"].keys()


def test_gradio_is_imported_in_one_file_alone():
    sources = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
    assert [name for name, text in sources.items() if re.search(r"^\s*(import|from) gradio", text, re.M)] == [
        "demo_page.py"
    ]


def test_without_gradio_a_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("sys.argv", ["demo.py"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -r requirements-demo\.txt"):
        demo.main()


@pytest.mark.slow
def test_a_picture_is_enlarged_and_the_slider_dragged(tab, server, picture):
    result = read_image(tab.enlarge(picture()))
    assert result.rgb.shape == (96, 96, 3)
    handle, before = tab.page.locator("#result .outer, #result .inner").first, clip(tab)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.page.mouse.move(*middle)
    tab.page.mouse.down()
    tab.page.mouse.move(middle[0] - 30, middle[1], steps=5)
    tab.page.mouse.up()
    tab.page.wait_for_function(
        "before => document.querySelectorAll('#result img')[1].style.clipPath != before", arg=before
    )
    tab.close()
    wait(lambda: server.pictures() == set())


@pytest.mark.slow
def test_the_temperature_is_changed(tab, picture):
    path = picture()
    first = tab.enlarge(path).read_bytes()
    tab.open("sampling")
    tab.page.locator("#temperature textarea, #temperature input").fill("0")
    second = tab.enlarge(path).read_bytes()
    assert second != first and tab.enlarge(path).read_bytes() == second
    tab.page.locator("#temperature textarea, #temperature input").fill("warm")
    tab.press("enlarge")
    assert "must be a number, or empty for the model's own, not 'warm'" in tab.told("temperature")


@pytest.mark.slow
def test_samples_and_steps_are_shown_and_content_fused(tab, picture):
    tab.open("sampling")
    count = tab.page.locator("#samples input[type=range]")
    number = tab.page.locator("#samples input[type=number]")

    def set_to_two():
        count.fill("2")
        return number.input_value() == "2"

    wait(set_to_two)
    tab.enlarge(picture(side=16), "{}_x4_1")
    tab.page.locator("#deviation img").wait_for()
    assert tab.files.locator("tr").count() == 5
    count.press("ArrowLeft")
    tab.page.locator("#process input").check()
    plain = tab.enlarge(picture(side=16)).read_bytes()
    tab.page.locator("#steps_shown img").wait_for()
    tab.page.locator("#deviation").wait_for(state="hidden")
    tab.open("fusion")
    tab.give(picture("content.png", 20), "#content")
    tab.press("enlarge")
    tab.told("draw a box")
    on = tab.page.locator("#box img")
    on.scroll_into_view_if_needed()
    box = on.bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"], box["y"] + 3 * box["height"] / 4, steps=5)
    tab.page.mouse.up()
    tab.page.wait_for_function("() => document.querySelector('#box .drawn').style.width == '75%'")
    tab.run()
    assert tab.download("eye_x4").read_bytes() != plain


@pytest.mark.slow
def test_the_result_has_the_profile_of_the_picture(tab, tmp_path, photo):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photo[:20, :30]).save(tmp_path / "own.jpg", icc_profile=profile)
    with Image.open(tab.enlarge(tmp_path / "own.jpg")) as result:
        assert result.info["icc_profile"] == profile and (result.format, result.size) == ("PNG", (120, 80))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one pixel", "transparent", "16 bits", "CMYK"])
def test_pictures_of_all_kinds(tab, tmp_path, photo, kind):
    part, path = photo[:20, :30], tmp_path / "any.png"
    if kind == "CMYK":
        path = tmp_path / "any.jpg"
        Image.fromarray(part).convert("CMYK").save(path)
    else:
        made = {"one pixel": part[:1, :1], "transparent": np.dstack([part, part[..., 0]]),
                "16 bits": part.astype(np.uint16) * 257}  # fmt: skip
        write_image(path, made[kind])
    result = read_image(tab.enlarge(path))
    assert result.rgb.shape[:2] == ((4, 4) if kind == "one pixel" else (80, 120))
    assert (result.alpha is not None) == (kind == "transparent")
    assert result.rgb.dtype == (np.uint16 if kind == "16 bits" else np.uint8)


@pytest.mark.slow
def test_twelve_megapixels_are_cancelled_in_the_middle_and_the_next_is_enlarged(tab, server, tmp_path, photo, picture):
    Image.fromarray(np.tile(photo, (6, 8, 1))[:3000, :4000]).save(tmp_path / "large.jpg")
    tab.give(tmp_path / "large.jpg")
    tab.press("enlarge")
    tab.progress(r"pass \d+ of \d{4}, about \d+ min left")
    tab.press("cancel")
    tab.told("Cancelled")
    assert read_image(tab.enlarge(picture())).rgb.shape == (96, 96, 3)
    assert "large_x4.png" not in server.pictures()


@pytest.mark.slow
def test_broken_and_too_large_files_are_refused_in_a_line(tab, tmp_path, picture):
    content = picture(side=50).read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    Image.new("L", (5200, 5000)).save(tmp_path / "huge.png")
    lines = {
        "half.png": "cannot read half.png: the picture is damaged",
        "huge.png": "it has more than 25 million pixels",
    }
    for name, line in lines.items():
        tab.give(tmp_path / name)
        tab.press("enlarge")
        told = tab.told(line)
        assert "Traceback" not in told and str(tempfile.gettempdir()) not in told
    tab.enlarge(picture())


@pytest.mark.slow
def test_two_tabs_at_once_wait_for_each_other(browser, server, tab, picture):
    other = Tab(browser, server)
    paths = picture("one.png", 24), picture("two.png", 40)
    for own, path in zip((tab, other), paths, strict=True):
        own.give(path)
    for own in (tab, other):
        own.press("enlarge")
    sizes = [
        read_image(own.download(f"{path.stem}_x4")).rgb.shape[0] for own, path in zip((tab, other), paths, strict=True)
    ]
    assert sizes == [96, 160]
    other.close()
    wait(lambda: not any(name.startswith("two") for name in server.pictures()))
    assert {"one.png", "one_x4.png"} <= server.pictures()


@pytest.mark.slow
def test_what_waits_is_cancelled_and_what_runs_goes_on(browser, server, tab, tmp_path, photo, picture):
    other = Tab(browser, server)
    write_image(tmp_path / "long.png", np.tile(photo, (2, 2, 1)))
    tab.give(tmp_path / "long.png")
    tab.press("enlarge")
    tab.progress(r"pass \d+ of \d{3}, about")
    other.give(picture())
    other.press("enlarge")
    other.progress("queue: 1/1")
    other.press("cancel")
    other.told("Cancelled")
    tab.progress(r"pass \d+ of \d{3}, about")
    tab.press("cancel")
    tab.told("Cancelled")
    other.enlarge(picture())
    other.close()


@pytest.mark.slow
def test_a_picture_is_dropped(tab, picture):
    content = base64.b64encode(picture("dropped.png").read_bytes()).decode()
    tab.page.locator("#picture input[type=file]").wait_for(state="attached")
    tab.page.evaluate(DROP, content)
    tab.page.locator("#picture img").wait_for()
    tab.run()
    assert read_image(tab.download("dropped_x4")).rgb.shape == (96, 96, 3)


@pytest.mark.slow
def test_a_picture_is_pasted(tab, picture):
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.evaluate(COPY, base64.b64encode(picture().read_bytes()).decode())
    with tab.page.expect_response(re.compile("/upload")):
        tab.page.locator("#picture").get_by_label("Paste from clipboard").click()
    tab.page.locator("#picture img").wait_for()
    tab.run()


@pytest.mark.slow
def test_a_tab_that_is_closed_in_the_middle_gives_the_device_back(browser, server, tab, tmp_path, photo, picture):
    other = Tab(browser, server)
    write_image(tmp_path / "long.png", np.tile(photo, (2, 2, 1)))
    other.give(tmp_path / "long.png")
    other.press("enlarge")
    other.progress(r"pass \d+ of \d{3}, about")
    other.close()
    tab.enlarge(picture())
    assert not any(name.startswith("long") for name in server.pictures())


@pytest.mark.slow
def test_a_model_that_was_deleted_meanwhile(browser, server, picture):
    model = server.home / "runs" / "mine" / "model.ckpt"
    model.parent.mkdir(parents=True)
    model.touch()
    tab = Tab(browser, server)
    tab.page.locator("#model input").click()
    tab.page.get_by_role("option", name="mine/model.ckpt").click()
    shutil.rmtree(server.home / "runs")
    tab.give(picture())
    tab.press("enlarge")
    tab.told("the model mine/model.ckpt is not there any more: reload the page, and choose another")
    tab.close()


@pytest.mark.slow
def test_a_quality_is_a_model_and_its_steps(browser, server):
    tab = Tab(browser, server)
    tab.open("sampling")
    model, steps = tab.page.locator("#model input"), tab.page.locator("#steps").locator("input, textarea")
    for name, wanted in PRESETS.items():
        tab.page.locator("#quality").get_by_text(WORDS["en"][name]).click()
        tab.page.wait_for_function(
            "([model, path]) => model.value == path", arg=[model.element_handle(), last_names(wanted.path)]
        )
        assert steps.input_value() == str(wanted.steps or "")
    tab.page.locator("#quality").get_by_text(WORDS["en"]["best"]).click()
    tab.page.wait_for_function("steps => steps.value == '2'", arg=steps.element_handle())
    model.click()
    tab.page.get_by_role("option", name="checkpoints/srdiff_lite_x4.ckpt", exact=True).click()
    tab.page.wait_for_function("steps => steps.value == ''", arg=steps.element_handle())
    tab.close()


@pytest.mark.slow
def test_the_page_speaks_chinese_to_a_chinese_browser(browser, server, picture, tmp_path):
    tab = Tab(browser, server, "zh-CN")
    tab.page.locator("#enlarge").get_by_text(WORDS["zh"]["enlarge"]).wait_for()
    for name in ("quality", "model", "cancel"):
        assert WORDS["zh"][name] in tab.page.locator("body").inner_text()
    assert "__i18n__" not in tab.page.locator("body").inner_text()
    tab.enlarge(picture())
    tab.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_the_work_leaves_nothing(browser, tmp_path, photo, number):
    pytest.importorskip("gradio", reason="pip install -r requirements-demo.txt")
    server = Server(tmp_path, "--tile", TILE)
    tab = Tab(browser, server)
    write_image(tmp_path / "long.png", np.tile(photo, (2, 2, 1)))
    tab.give(tmp_path / "long.png")
    tab.press("enlarge")
    tab.progress(r"pass \d+ of \d{3}, about")
    assert server.end(number) == 128 + number
    assert server.lines[-1] == "interrupted\n" and not any("Traceback" in line for line in server.lines)
    assert list(server.temporary.iterdir()) == []
    tab.close()


@pytest.mark.slow
def test_a_second_server_on_the_port_says_so_in_a_line(server, tmp_path):
    status, printed, lines = tiny.run("demo.py", "--port", server.port, cwd=tmp_path)
    assert (status, printed, len(lines)) == (2, "", 1)
    assert lines[0].startswith(f"error: cannot serve on 127.0.0.1, port {server.port}") and "--port" in lines[0]


def clip(tab):
    return tab.page.locator("#result img").nth(1).evaluate("image => image.style.clipPath")


def wait(condition):
    """Wait until a condition holds."""
    pause = threading.Event()
    for _ in range(10 * PATIENCE):
        if condition():
            return
        pause.wait(0.1)
    raise AssertionError("this did not come about")
