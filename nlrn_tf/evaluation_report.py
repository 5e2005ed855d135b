"""How an evaluation is shown: the table of scores, and images side by side."""

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nlrn_tf.data.benchmarks import paper_figures
from nlrn_tf.evaluation_settings import EvaluationSettings

_GAP = 8  # pixels between the images
_TEXT_HEIGHT = 14
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def print_scores(result: dict, settings: EvaluationSettings, console: Console) -> None:
    """Prints the scores of each image and their mean, with the paper's figures below.

    Args:
      result: of `nlrn_tf.evaluation.evaluate`.
      settings: that it was made with.
      console: to print on.
    """
    table = Table(title=_title(settings))
    table.add_column("image", overflow="fold")
    for heading in ("PSNR (dB)", "SSIM", "seconds"):
        table.add_column(heading, justify="right")
    for image in result["images"]:
        table.add_row(escape(image["name"]), *_cells(image), f"{image['seconds']:.2f}")
    table.add_section()
    count = len(result["images"])
    mean = f"mean of the first {count}" if settings.max_images else f"mean of {count}"
    table.add_row(mean, *_cells(result), f"{result['seconds_per_image']:.2f}", style="bold")
    published = paper_figures(settings.dataset, settings.task, settings.setting)
    if published is not None:
        number, figures = published
        table.add_section()
        for method, figure in figures.items():
            table.add_row(f"{method} (paper, table {number})", *_cells(figure), "")
    console.print(table)
    console.print(_protocol_notes(settings), soft_wrap=True)


def comparison(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Images side by side, each below its caption.

    Args:
      panels: caption -> uint8 `[H, W]`, all of one size.

    Returns:
      uint8 `[H', W']`, black on white.
    """
    columns = [_captioned(caption, image) for caption, image in panels.items()]
    gap = np.full((columns[0].shape[0], _GAP), 255, np.uint8)
    return np.hstack([part for column in columns for part in (column, gap)][:-1])


def _captioned(caption: str, image: np.ndarray) -> np.ndarray:
    width = image.shape[1]
    (text_width, text_height), _ = cv2.getTextSize(caption, _FONT, 1.0, 1)
    size = min(_TEXT_HEIGHT / text_height, max(width - 4, 1) / text_width)
    strip = np.full((_TEXT_HEIGHT + 2 * _GAP, width), 255, np.uint8)
    cv2.putText(strip, caption, (2, _TEXT_HEIGHT + _GAP), _FONT, size, 0, 1, cv2.LINE_AA)
    return np.vstack([strip, image])


def _title(settings: EvaluationSettings) -> str:
    degradation = (
        f"denoising, sigma {settings.noise_sigma:g}"
        if settings.task == "denoise"
        else f"super-resolution x{settings.scale}"
    )
    parts = [settings.dataset, degradation, settings.method]
    if settings.method == "nlrn":
        parts += [escape(settings.weights), _protocol(settings)]
    return " | ".join(parts)


def _protocol(settings: EvaluationSettings) -> str:
    protocol = "whole images"
    if settings.protocol == "patches":
        protocol = f"patches of {settings.patch_size} at stride {settings.stride}"
    return protocol + (", self-ensemble of 8" if settings.self_ensemble else "")


def _protocol_notes(settings: EvaluationSettings) -> str:
    if settings.task == "denoise":
        return "Grey; noisy input neither clipped nor rounded; scored as 8 bits, whole image."
    return (
        "Y channel; low-resolution image not rounded; scored as 8 bits, "
        f"without {settings.border} pixels at the border."
    )


def _cells(scores: dict) -> tuple[str, str]:
    structural = "" if scores["ssim"] is None else f"{scores['ssim']:.4f}"
    return f"{scores['psnr']:.2f}", structural
