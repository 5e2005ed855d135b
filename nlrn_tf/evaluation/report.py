"""How an evaluation is shown: the tables of scores."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nlrn_tf.datasets.benchmarks import all_paper_figures, published_figures
from nlrn_tf.datasets.own import set_named
from nlrn_tf.errors import printable
from nlrn_tf.evaluation.settings import NETWORK, EvaluationSettings


def print_scores(result: dict, settings: EvaluationSettings, console: Console) -> None:
    """Prints the scores of each image and their mean, with the paper's figures below.

    Args:
      result: of `nlrn_tf.evaluation.evaluate.evaluate`.
      settings: that it was made with.
      console: to print on.
    """
    before = settings.of_task.input_name
    is_input = settings.method != NETWORK
    table = Table(title=_title(settings))
    table.add_column("image", overflow="fold")
    headings = ("PSNR (dB)", "SSIM") if is_input else (f"{before} (dB)", "PSNR (dB)", "SSIM")
    for heading in (*headings, "seconds"):
        table.add_column(heading, justify="right")

    def row(name: str, scores: dict, seconds: float, style: str | None = None) -> None:
        first = () if is_input else (f"{scores['input_psnr']:.2f}",)
        table.add_row(name, *first, *_cells(scores), f"{seconds:.2f}", style=style)

    for image in result["images"]:
        row(escape(printable(image["name"])), image, image["seconds"])
    table.add_section()
    row(_mean_label(result, settings), result, result["seconds_per_image"], style="bold")
    reference = _reference_rows(result, settings)
    if reference:
        table.add_section()
    for name, figure in reference.items():
        table.add_row(name, *([] if is_input else [""]), *_cells(figure), "")
    console.print(table)
    console.print(_note(settings), soft_wrap=True, markup=False)


def _note(settings: EvaluationSettings) -> str:
    """What the scores depend on."""
    if not set_named(settings.dataset).pairs:
        return settings.of_task.protocol_note(**settings.degradation)
    border = f", without {settings.border} pixels at the border" if settings.border else ""
    return f"Degraded images as they are in their files; scored as 8 bits{border}."


def print_overview(
    results: Sequence[dict], all_settings: Sequence[EvaluationSettings], console: Console
) -> None:
    """Prints the means of several noise levels or scales side by side, and the paper's.

    Args:
      results: of `nlrn_tf.evaluation.evaluate.evaluate_all`.
      all_settings: that they were made with; they differ in noise level or scale, and in weights.
      console: to print on.
    """
    table = Table(title=f"{escape(printable(all_settings[0].dataset))} | PSNR (dB) / SSIM")
    table.add_column("method")
    rows: dict[str, dict[int, dict]] = {}
    for column, (result, settings) in enumerate(zip(results, all_settings, strict=True)):
        described = settings.of_task.describe(**settings.degradation)
        table.add_column(described, justify="right")
        own = f"{settings.method}, {_mean_label(result, settings)}"
        figures = {**_reference_rows(result, settings), own: result}
        for name, figure in figures.items():
            rows.setdefault(name, {})[column] = figure
    for name, found in rows.items():
        cells = [_cells(found[k]) if k in found else () for k in range(len(results))]
        style = "bold" if name == own else None
        table.add_row(name, *(" / ".join(filter(None, cell)) for cell in cells), style=style)
    console.print(table)


def _reference_rows(result: dict, settings: EvaluationSettings) -> dict[str, dict]:
    """What the scores are compared with: the input of the network, and the paper's figures."""
    rows = {}
    if settings.method == NETWORK:
        rows[settings.of_task.input_name] = {
            "psnr": result["input_psnr"],
            "ssim": result["input_ssim"],
        }
    count = set_named(settings.dataset).count
    is_whole = len(result["images"]) == count
    found = all_paper_figures(settings.dataset, settings.of_task.name, settings.setting)
    for number, figures in found:
        of_part = [] if is_whole else [f"all {count}"]
        of_table = [f"table {number}"] if is_whole or len(found) > 1 else []
        scope = ", ".join([*of_table, *of_part])
        rows |= {f"{name} (paper, {scope})": figure for name, figure in figures.items()}
    others = published_figures(settings.dataset, settings.setting)
    return rows | {f"{name} (published, all {count})": f for name, f in others.items()}


def _mean_label(result: dict, settings: EvaluationSettings) -> str:
    scored, count = len(result["images"]), set_named(settings.dataset).count
    if scored == count:
        return f"mean of {count}"
    return f"mean of {'the first ' * bool(settings.max_images)}{scored} of {count}"


def _title(settings: EvaluationSettings) -> str:
    task = settings.of_task
    described = f"{task.title.lower()} {task.describe(**settings.degradation)}".strip()
    parts = [escape(printable(settings.dataset)), described, settings.method]
    if settings.method == NETWORK:
        parts += [escape(settings.network), _protocol(settings)]
    return " | ".join(parts)


def _protocol(settings: EvaluationSettings) -> str:
    protocol = "whole images"
    if settings.protocol == "patches":
        protocol = f"patches of {settings.patch_size} at stride {settings.stride}"
    return protocol + (", self-ensemble of 8" if settings.self_ensemble else "")


def _cells(scores: dict) -> tuple[str, str]:
    structural = "" if scores["ssim"] is None else f"{scores['ssim']:.4f}"
    return f"{scores['psnr']:.2f}", structural
