"""The page: gradio's components, and what their events ask of the :class:`src.commands.demo_work.Desk`."""

import logging
import re
from functools import partial

from ..command import PRESETS
from ..errors import UserError, first_line, one_line
from .demo_box import CSS, HTML, JS
from .demo_words import WORDS, words_of
from .demo_work import MOST_SAMPLES, Cancelled, Wish, models
from .infer import last_names

UPLOAD = "256mb"  # of a file; how many pixels it may have is another limit
_AGE = 24 * 3600  # seconds until gradio deletes an upload of a tab that it has lost sight of


def open_page(desk, host, port):
    """Serve the page in threads of its own; return gradio's ``Blocks`` and the address."""
    import gradio as gr

    words = gr.I18n(**WORDS)
    page = build_page(desk, words)
    gr.set_static_paths([desk.folder])  # served from where they are, not copied
    page.queue(default_concurrency_limit=None)
    try:
        _, address, _ = page.launch(
            server_name=host, server_port=port, prevent_thread_lock=True, quiet=True, share=False, footer_links=[],
            max_file_size=UPLOAD, enable_monitoring=False, ssr_mode=False, i18n=words, theme=_theme(gr),
        )  # fmt: skip
    except OSError as error:
        raise UserError(
            f"cannot serve on {host}, port {port}: it is taken, or not this machine's; name another with --port or "
            "--host"
        ) from error
    return page, address


def _theme(gr):
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # none from the network


def build_page(desk, words):
    import gradio as gr

    with gr.Blocks(title="mindspore-sr", analytics_enabled=False, delete_cache=(_AGE, _AGE)) as page:
        gr.Markdown(words("title"), elem_id="title")
        gr.Markdown(words("intro"))
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                given = _inputs(gr, words)
            with gr.Column(scale=3, min_width=320):
                shown = _outputs(gr, words)
        _connect(gr, page, desk, given, shown)
    return page


def _inputs(gr, words):
    """All that a wish is made of, by the names of its fields, and the buttons."""
    given = {"picture": _picture(gr, label=words("picture"), height=300, elem_id="picture")}
    qualities = [(words(name), name) for name in PRESETS]
    given["quality"] = gr.Radio(qualities, value="fast", label=words("quality"), elem_id="quality")
    names = list(models())
    given["model"] = gr.Dropdown(names, value=last_names(PRESETS["fast"].path), label=words("model"), elem_id="model")
    with gr.Row():
        given["enlarge"] = gr.Button(words("enlarge"), variant="primary", elem_id="enlarge")
        given["cancel"] = gr.Button(words("cancel"), elem_id="cancel")
    with gr.Accordion(words("sampling"), open=False, elem_id="sampling"):
        own = {"placeholder": words("own"), "lines": 1, "max_lines": 1}  # a Number that is empty becomes 0
        given["steps"] = gr.Textbox(label=words("steps"), elem_id="steps", **own)
        given["temperature"] = gr.Textbox(
            label=words("temperature"), info=words("temperature_info"), elem_id="temperature", **own
        )
        given["seed"] = gr.Number(0, precision=0, label=words("seed"), elem_id="seed")
        choices = [(words("own"), "own"), (words("yes"), "yes"), (words("no"), "no")]
        given["consistency"] = gr.Radio(choices, value="own", label=words("consistency"), elem_id="consistency")
        given["samples"] = gr.Slider(1, MOST_SAMPLES, 1, step=1, label=words("samples"), elem_id="samples")
        given["process"] = gr.Checkbox(label=words("process"), elem_id="process")
    with gr.Accordion(words("fusion"), open=False, elem_id="fusion"):
        given["content"] = _picture(gr, label=words("content"), height=200, elem_id="content")
        gr.Markdown(words("box"))
        given["box"] = gr.HTML({}, html_template=HTML, css_template=CSS, js_on_load=JS, elem_id="box")
    return given


def _picture(gr, **options):
    """An input that gives the file's path as it came: 16 bits, profile and damage are for our own reader."""
    picture = gr.Image(type="filepath", sources=["upload", "clipboard"], buttons=["fullscreen"], **options)
    picture.preprocess = lambda payload: None if payload is None else payload.path  # of a subclass gradio writes a .pyi
    return picture


def _outputs(gr, words):
    slider = gr.ImageSlider(type="filepath", label=words("result"), max_height=700, buttons=["fullscreen"],
                            elem_id="result", interactive=False)  # fmt: skip
    files = gr.File(file_count="multiple", label=words("files"), elem_id="files", interactive=False)
    pictures = {"type": "filepath", "visible": False, "interactive": False, "buttons": ["fullscreen"]}
    deviation = gr.Image(label=words("deviation"), elem_id="deviation", **pictures)
    process = gr.Image(label=words("steps_shown"), elem_id="steps_shown", **pictures)
    return [slider, files, deviation, process]


def _connect(gr, page, desk, given, shown):
    """Say what the page's events do; those of the device wait for each other, the others for nobody."""
    names = ["picture", "model", "steps", "temperature", "consistency", "seed", "samples", "process", "content", "box"]

    def enlarge(values, request: gr.Request, progress=gr.Progress()):  # noqa: B008 - as gradio wants it
        words = words_of(request.headers.get("accept-language"))
        progress(0, desc=words["waiting"])
        try:
            wish = _wish(**{name: values[given[name]] for name in names})
            result = desk.enlarge(request.session_hash, wish, partial(_tell, progress, words))
        except Cancelled:  # of which the button has told
            return [gr.skip()] * len(shown)
        except UserError as error:
            raise _refused(gr, words, desk, one_line(error)) from None
        except Exception as error:
            logging.exception("a mistake of the program's own")
            raise _refused(gr, words, desk, first_line(error)) from None
        pictures = [gr.update(value=path and str(path), visible=bool(path)) for path in result[3:]]
        return [(str(result.before), str(result.after)), list(map(str, result.files)), *pictures]

    run = given["enlarge"].click(
        enlarge, {given[name] for name in names}, shown, api_name="enlarge", concurrency_limit=1,
        concurrency_id="device", show_progress_on=shown[0],
    )  # fmt: skip
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def cancel(request: gr.Request):
        desk.cancel(request.session_hash)
        gr.Info(words_of(request.headers.get("accept-language"))["cancelled"])

    def hold(picture, content, request: gr.Request):
        desk.hold(request.session_hash, {path for path in (picture, content) if path})

    def to_draw_on(picture):
        return {"path": picture} if picture else {}

    def choose(quality):
        return last_names(PRESETS[quality].path), str(PRESETS[quality].steps or "")

    def close(request: gr.Request):
        desk.close(request.session_hash)

    given["cancel"].click(cancel, cancels=[run], **quiet | {"queue": True})  # gr.Info needs it
    pictures = [given["picture"], given["content"]]
    for each in pictures:
        each.change(hold, pictures, None, **quiet)
    given["picture"].change(to_draw_on, pictures[:1], given["box"], **quiet)
    given["quality"].input(choose, given["quality"], [given["model"], given["steps"]], **quiet)
    given["model"].input(lambda: "", None, given["steps"], **quiet)  # those of a quality are another model's
    page.load(lambda: gr.update(choices=list(models())), None, given["model"], **quiet)
    page.unload(close)


def _wish(picture, model, steps, temperature, consistency, seed, samples, process, content, box):
    return Wish(
        picture, model, _number("steps", steps, int), _number("temperature", temperature, float),
        {"yes": True, "no": False}.get(consistency), int(seed or 0), int(samples), bool(process), content,
        tuple(box["box"]) if box and box.get("box") else None,
    )  # fmt: skip


def _number(name, text, kind):
    """The number of what was typed; None of nothing."""
    try:
        return kind(text.strip().replace(",", ".")) if text and text.strip() else None
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UserError(f"the {name} must be {what}, or empty for the model's own, not '{text}'") from None


def _tell(progress, words, done, total, seconds):
    kind = "pass" if seconds is None else "left" if seconds < 100 else "minutes"
    text = words[kind].format(done=done, total=total, seconds=round(seconds or 0), minutes=round((seconds or 0) / 60))
    progress((done, total), desc=text)


def _refused(gr, words, desk, line):
    """The line on the page, without the folders of this machine."""
    line = re.sub(rf"{re.escape(str(desk.folder.parent))}/(\S+/)?", "", line)
    return gr.Error(line, duration=None, title=words["error"], print_exception=False)
