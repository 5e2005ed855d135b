"""The page, made with Gradio: an image is dropped, and is seen before and after."""

import html
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import READ_SUFFIXES
from nlrn_tf.web import words
from nlrn_tf.web.desk import Desk
from nlrn_tf.web.examples import NOISE, write_examples
from nlrn_tf.web.restoring import StoppedError, Wishes
from nlrn_tf.web.settings import LOCAL
from nlrn_tf.weights.level_choice import AUTO_FAMILY, FULL, LITE, MAX_LEVEL

TITLE = "Restore a photograph"
REMOVE, ENLARGE = "Remove noise", "Enlarge"
MEASURED, BY_HAND = "Measure it", "Set it"
USUAL, BEST, FASTEST = "Usual", "Best", "Fastest"
_QUALITIES = {USUAL: AUTO_FAMILY, BEST: FULL, FASTEST: LITE}

EXAMPLES = "examples"  # the folder for them

# Files of visitors are deleted when they are so old, in seconds, and looked for so often.
_KEPT, _LOOKED_AFTER = 3600, 300

# No font is fetched: those of the visitor's system are taken.
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")

STYLE = """
.gradio-container { max-width: 1280px !important; margin: 0 auto !important; }
#head h1 { font-weight: 600; margin: 0.4em 0 0.1em; }
#head p { color: var(--body-text-color-subdued); margin: 0; }
#photograph { border: 1.5px dashed var(--neutral-400) !important; }
#slider:has(.empty) { min-height: 420px; }
#slider .empty { min-height: 420px; }
#told { align-self: center; flex: 1 1 200px; min-height: 1.6em; }
#told p { font-size: 1.05em; }
#examples .label { color: var(--body-text-color-subdued); font-weight: 400; }
#examples .label svg { display: none; }
"""


def theme() -> gr.themes.Base:
    """Quiet colours, so that the picture is what is looked at."""
    return gr.themes.Soft(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        font=_FONTS,
        font_mono=_FONTS,
    ).set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
    )


def build_page(desk: Desk) -> gr.Blocks:
    """The page.

    Args:
      desk: where the images go.
    """
    examples = write_examples(desk.folder / EXAMPLES)
    delete_cache = (_LOOKED_AFTER, _KEPT)
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=delete_cache, fill_width=True
    ) as page:
        gr.Markdown(f"# {TITLE}\n{_introduction(desk)}", elem_id="head")
        with gr.Row():
            with gr.Column(scale=1, min_width=330):
                file = gr.File(
                    label="Photograph",
                    show_label=False,
                    file_types=list(READ_SUFFIXES),
                    height=150,
                    elem_id="photograph",
                )
                sample = gr.Dataset(
                    components=[gr.Image(visible=False)],
                    samples=[[str(path)] for path in examples],
                    type="index",
                    label="Or try one of these, to which noise was added",
                    elem_id="examples",
                )
                controls = _controls(desk)
                with gr.Row():
                    start = gr.Button("Restore", variant="primary", elem_id="restore")
                    stop = gr.Button("Stop", visible=False, elem_id="stop")
            with gr.Column(scale=2, min_width=480):
                slider = gr.ImageSlider(
                    label="Before and after",
                    show_label=False,
                    format="png",
                    type="filepath",
                    interactive=False,
                    buttons=["fullscreen"],
                    max_height=620,
                    elem_id="slider",
                )
                with gr.Row():
                    told = gr.Markdown(_HOW_TO_BEGIN, elem_id="told")
                    download = gr.DownloadButton(
                        visible=False, variant="primary", scale=0, min_width=240, elem_id="download"
                    )
        outputs = [slider, told, download]
        _connect(desk, [file, *controls], outputs, start, stop, sample, examples)
        page.unload(_stopper(desk))
    page.queue(max_size=desk.limits.max_waiting, default_concurrency_limit=1)
    return page


_HOW_TO_BEGIN = "Before and after appear here, under a slider."


def _introduction(desk: Desk) -> str:
    where = "stay on this machine" if desk.limits.host in LOCAL else "are deleted within the hour"
    return f"Drop a noisy photograph and compare. Your images {where}."


def _controls(desk: Desk) -> list[gr.components.Component]:
    """The values that a visitor chooses, in the order of the arguments of `restore`."""
    what = gr.Radio([REMOVE, ENLARGE], value=REMOVE, show_label=False, elem_id="what")
    scale = gr.Slider(1.5, 4, value=2, step=0.5, label="Enlarge by", visible=False)
    with gr.Accordion("More options", open=False, elem_id="options"):
        with gr.Group(visible=True) as of_noise:
            quality = gr.Radio(
                list(_QUALITIES),
                value=USUAL,
                label="Quality",
                info="The fastest takes a sixth of the time; it is the usual one where as good.",
                visible=desk.limits.weights is None,
            )
            level = gr.Radio([MEASURED, BY_HAND], value=MEASURED, label="Noise level")
            noise = gr.Slider(
                *(1, MAX_LEVEL),
                value=NOISE,
                step=1,
                label="Noise level in grey levels of 0 to 255",
                visible=False,
            )
            strength = gr.Slider(
                *(0, 100),
                value=100,
                step=5,
                label="Strength in percent",
                info="Less keeps some of the grain.",
            )
        ensemble = gr.Checkbox(
            label="Average over flips and rotations",
            info="Slightly better, eight times as slow.",
        )
        damaged = gr.Checkbox(label=words.DAMAGED)
    level.change(
        lambda chosen: gr.Slider(visible=chosen == BY_HAND),
        level,
        noise,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    what.change(
        lambda chosen: (gr.Slider(visible=chosen == ENLARGE), gr.Group(visible=chosen == REMOVE)),
        what,
        [scale, of_noise],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    return [what, scale, quality, level, noise, strength, ensemble, damaged]


def _connect(desk, inputs, outputs, start, stop, sample, examples) -> None:
    """What happens when a photograph is dropped, an example is taken, a button is pressed."""
    file = inputs[0]
    hidden = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    leave = _stopper(desk)

    def prepare(request: gr.Request):
        leave(request)  # a new image replaces the one that is under way
        return gr.Button(visible=True), None, "", gr.DownloadButton(visible=False)

    taken = sample.click(lambda index: str(examples[index]), sample, file, **hidden)
    for begin, shown in (
        (start.click, {"api_name": "restore"}),
        (file.upload, {"api_visibility": "private"}),
        (taken.then, {"api_visibility": "private"}),
    ):
        begin(prepare, None, [stop, *outputs], **hidden).then(
            _restorer(desk),
            inputs,
            outputs,
            show_progress_on=outputs[0],
            concurrency_limit=1,
            concurrency_id="restore",
            trigger_mode="multiple",
            **shown,
        ).then(lambda: gr.Button(visible=False), None, stop, **hidden)
    stop.click(leave, **hidden)
    file.clear(leave, **hidden)


def _restorer(desk: Desk):
    """The function behind the button, whose arguments are the values of the controls."""

    def restore(
        file: str | None,
        what: str,
        scale: float,
        quality: str,
        level: str,
        noise: float,
        strength: float,
        self_ensemble: bool,
        accept_damaged: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio looks for it here)
    ):
        if not file:
            raise _shown("Drop a photograph first.")
        wishes = Wishes(
            scale=scale if what == ENLARGE else None,
            weights=desk.limits.weights or _QUALITIES[quality],
            noise_sigma=noise if level == BY_HAND else None,
            strength=strength / 100,
            self_ensemble=self_ensemble,
            accept_damaged=accept_damaged,
        )

        def look(fraction: float, left: str) -> None:
            progress(fraction, desc=left)

        try:
            with desk.restored(file, wishes, _visitor(request), look) as outcome:
                pictures = _kept(outcome.before), _kept(outcome.after)
                result, told = _kept(outcome.result), outcome.told
        except StoppedError:
            return gr.skip(), "Stopped.", gr.skip()
        except NLRNError as error:
            raise _shown(str(error)) from error
        name = Path(result).name
        return pictures, told, gr.DownloadButton(f"Download {name}", value=result, visible=True)

    return restore


def _kept(path: Path) -> str:
    """A copy where Gradio keeps what it serves, until it is old."""
    return save_file_to_cache(path, gr.utils.get_upload_folder())


def _stopper(desk: Desk):
    def stop(request: gr.Request) -> None:
        desk.stop(_visitor(request))

    return stop


def _visitor(request: gr.Request) -> str:
    return request.session_hash or ""


def _shown(text: str) -> gr.Error:
    """Gradio shows the text of errors as HTML."""
    return gr.Error(html.escape(text), duration=30, print_exception=False)
