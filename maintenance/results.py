"""The tables of results in docs/results.md and the README, from the manifest of the weights.

Light: needs neither Keras nor TensorFlow.
"""

import dataclasses
import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from nlrn_tf.config import NLRNConfig
from nlrn_tf.datasets.benchmarks import BENCHMARKS, paper_figures
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.files import write_text
from nlrn_tf.precision import AUTO
from nlrn_tf.storage.reading import read_json
from nlrn_tf.tasks.registry import owner_of, task_named
from nlrn_tf.weights.manifest import WEIGHTS_DIR

BEGIN, END = "<!-- results -->", "<!-- /results -->"
# The methods of the paper's tables that are shown beside ours.
PAPER_COLUMNS = {
    4: ("BM3D", "DnCNN", "NLRN"),
    5: ("BM3D", "MemNet", "NLRN", "NLRN-MV"),
    6: ("SRCNN", "VDSR", "DRRN", "MemNet", "NLRN"),
}
# The whole sets that the README shows, and those of them with the fast networks too.
SUMMARY = ("Set12", "BSD68", "Set5")
FAST_IN_SUMMARY = ("Set12", "Set5")
_WIDTH = 100


@dataclasses.dataclass
class _Row:
    """Scores of one network on the same images: {with self-ensemble: entry of the manifest}."""

    weights: str
    settings: EvaluationSettings
    entries: dict[bool, dict]


def read_manifest(path: str | os.PathLike = WEIGHTS_DIR / "manifest.json") -> dict[str, dict]:
    """The manifest of packaged weights, see `maintenance.packaged_weights.package_weights`.

    Raises:
      NLRNError: the file cannot be read.
    """
    return read_json(path, dict[str, dict[str, object]], "not a manifest of weights")


def update(path: str | os.PathLike, results: str, *, check: bool = False) -> bool:
    """Writes results between the markers `<!-- results -->` and `<!-- /results -->`.

    Args:
      path: a Markdown file.
      results: Markdown, of `tables` or `summary`.
      check: writes nothing.

    Returns:
      Whether the file had other results.

    Raises:
      NLRNError: the file cannot be read or written, the markers are missing, or with `check` the
        results in the file are out of date.
    """
    try:
        text = Path(path).read_text()
    except (OSError, ValueError) as error:
        raise NLRNError(f"{path}: cannot be read ({error})") from error
    pattern = f"{re.escape(BEGIN)}\n.*?{re.escape(END)}"
    updated, count = re.subn(pattern, lambda _: f"{BEGIN}\n{results}{END}", text, flags=re.DOTALL)
    if count != 1:
        raise NLRNError(f"{path}: must have one place from {BEGIN} to {END}, has {count}")
    if updated != text and check:
        raise NLRNError(
            f"{path}: its results are out of date; run `python maintenance/results_table.py`"
        )
    if updated != text:
        write_text(path, updated)
    return updated != text


def summary(manifest: dict[str, dict]) -> str:
    """The results of whole sets in one short table, in Markdown.

    Args:
      manifest: see `read_manifest`.
    """
    lines = [["images", "degradation", "input", "ours", "NLRN in the paper", "weights"]]
    for row in _rows(manifest):
        settings = row.settings
        is_whole = settings.dataset in SUMMARY and not settings.images
        has_room = "_lite" not in row.weights or settings.dataset in FAST_IN_SUMMARY
        is_usual = settings.protocol == "full" and not settings.quantize_lr
        if is_whole and has_room and is_usual and False in row.entries:
            entry = row.entries[False]
            task = settings.of_task
            lines.append(
                [
                    settings.dataset,
                    task.describe(**settings.degradation),
                    _cell(entry, "input_"),
                    _cell(entry),
                    _paper_cell(settings, "NLRN"),
                    f"`{row.weights}`",
                ]
            )
    return f"PSNR (dB) / SSIM:\n\n{_markdown(lines)}"


def tables(manifest: dict[str, dict]) -> str:
    """The results in Markdown: the networks, then for each table of the paper ours beside it.

    Args:
      manifest: see `read_manifest`.
    """
    rows = _rows(manifest)
    parts = [_networks(manifest)]
    for number in PAPER_COLUMNS:
        shown = [row for row in rows if _table_number(row) == number]
        if shown:
            parts.append(_table(number, shown))
    return "\n".join(parts)


def _rows(manifest: dict[str, dict]) -> list[_Row]:
    rows: dict[EvaluationSettings, _Row] = {}
    for name in _names(manifest):
        # Where a score was measured in both precisions the exact one is shown.
        for entry in sorted(manifest[name]["scores"], key=lambda e: e["precision"] == "float32"):
            settings = _settings(name, entry)
            plain = dataclasses.replace(settings, self_ensemble=False, precision=AUTO)
            row = rows.setdefault(plain, _Row(name, plain, {}))
            row.entries[settings.self_ensemble] = entry
    order = list(BENCHMARKS)

    def position(row: _Row) -> tuple:
        settings = row.settings
        return (
            order.index(settings.dataset),
            settings.setting,
            settings.quantize_lr,
            bool(settings.images),
            settings.protocol,
        )

    return sorted(rows.values(), key=position)


def _names(manifest: dict[str, dict]) -> list[str]:
    """The networks in alphabetical order, narrower ones after the others."""
    return sorted(manifest, key=lambda name: (-manifest[name]["config"]["filters"], name))


def _settings(name: str, entry: dict) -> EvaluationSettings:
    fields = {field.name for field in dataclasses.fields(EvaluationSettings)} - {"images"}
    known = {key: value for key, value in entry.items() if key in fields}
    return EvaluationSettings(**known, weights=name, images=tuple(entry["subset"]))


def _table_number(row: _Row) -> int:
    found = paper_figures(row.settings.dataset, row.settings.task, row.settings.setting)
    return found[0] if found else row.settings.of_task.paper_table


def _networks(manifest: dict[str, dict]) -> str:
    lines = [["weights", "for", "states x channels", "steps", "training", "curve"]]
    for name in _names(manifest):
        entry = manifest[name]
        config = entry["config"]
        machines = dict.fromkeys(start["machine"] for start in entry["starts"])
        lines.append(
            [
                f"`{name}`",
                task_named(config["task"]).purpose(NLRNConfig(**config)),
                f"{config['num_states']} x {config['filters']}",
                f"{entry['steps']:,}",
                f"{entry['minutes'] / 60:.1f} hours on {'; '.join(machines)}",
                f"[{entry['curve']}](../nlrn_tf/weights/{entry['curve']})",
            ]
        )
    return "The packaged weights, all trained by `run_train.py`:\n\n" + _markdown(lines)


def _table(number: int, rows: Sequence[_Row]) -> str:
    task = rows[0].settings.of_task
    columns = PAPER_COLUMNS[number]
    ensemble = any(True in row.entries for row in rows)
    lines = [
        [
            "images",
            task.setting_title,
            task.input_name,
            *columns,
            "ours",
            *(["ours, self-ensemble"] if ensemble else []),
            "weights",
        ]
    ]
    lines += [
        [
            _images(row.settings),
            row.settings.of_task.short(**row.settings.degradation),
            _cell(next(iter(row.entries.values())), "input_"),
            *(_paper_cell(row.settings, column) for column in columns),
            _cell(row.entries.get(False)),
            *([_cell(row.entries.get(True))] if ensemble else []),
            f"`{row.weights}`",
        ]
        for row in rows
    ]
    notes = dict.fromkeys(_note(row.settings) for row in rows if row.settings.images)
    figures = ", ".join(columns[:-1]) + f" and {columns[-1]}"
    head = (
        f"{task.title}, PSNR (dB) / SSIM. {figures} are the figures of the paper's Table {number}."
    )
    # Not marked `sh`: the tests of the README run the commands of those blocks, these take hours.
    commands = "```shell\n" + "\n".join(_commands(rows)) + "\n```\n"
    return "\n".join([f"{head}\n", _markdown(lines), *notes, f"Measured by\n\n{commands}"])


def _images(settings: EvaluationSettings) -> str:
    count = len(settings.images)
    subset = f", {count} image{'s' if count > 1 else ''}" if count else ""
    patches = f", patches at stride {settings.stride}" if settings.protocol == "patches" else ""
    return settings.dataset + subset + patches


def _note(settings: EvaluationSettings) -> str:
    count = BENCHMARKS[settings.dataset].count
    note = (
        f"{_images(settings)} (the paper has figures of all {count} only): "
        f"{', '.join(settings.images)}."
    )
    return "\n".join(textwrap.wrap(note, _WIDTH)) + "\n"


def _paper_cell(settings: EvaluationSettings, method: str) -> str:
    """Empty where the figure would not compare: it is of all images, from an LR not rounded."""
    _, figures = paper_figures(settings.dataset, settings.task, settings.setting) or (0, {})
    return "" if settings.quantize_lr or settings.images else _cell(figures.get(method))


def _cell(scores: dict | None, prefix: str = "") -> str:
    if scores is None:
        return ""
    decibel, similarity = scores[f"{prefix}psnr"], scores[f"{prefix}ssim"]
    return f"{decibel:.2f}" + ("" if similarity is None else f" / {similarity:.4f}")


def _commands(rows: Sequence[_Row]) -> list[str]:
    """The commands of all scores; one for the three scales where they agree otherwise."""
    commands = []
    for row in rows:
        for ensemble, entry in sorted(row.entries.items()):
            settings = dataclasses.replace(row.settings, self_ensemble=ensemble)
            settings = dataclasses.replace(settings, precision=entry["precision"])
            commands.append(settings.command)
    merged, scales = [], owner_of("scale").published_settings
    for command in commands:
        each = [re.sub(r"--scale=\d+", f"--scale={scale}", command) for scale in scales]
        complete = len(set(each)) > 1 and set(each) <= set(commands)
        merged.append(re.sub(r"--scale=\d+", "--scale=all", command) if complete else command)
    return list(dict.fromkeys(merged))


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(line)} |" for line in lines]
    rows.insert(1, "|" + "---|" * len(lines[0]))
    return "\n".join(rows) + "\n"
