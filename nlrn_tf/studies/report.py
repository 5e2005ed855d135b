"""The comparison of the members of a study: `study.json`, a Markdown table and a plot."""

import importlib.util
import json
import os
from pathlib import Path

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path, write_text
from nlrn_tf.studies.complexity import effective_depth, multiply_adds, parameters
from nlrn_tf.studies.members import Study
from nlrn_tf.studies.settings import StudySettings, changed_fields, identity
from nlrn_tf.studies.store import STUDY
from nlrn_tf.weights.manifest import manifest

_HEADINGS = (
    *("member", "Set12 (dB)", "SSIM", "held out (dB)", "paper (dB)"),
    *("parameters", "depth", "multiply-adds a pixel", "steps", "minutes"),
)
_DPI = 110


def require_matplotlib() -> None:
    """Says at once that the plot will not be possible, and not after hours of training.

    Raises:
      NLRNError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise NLRNError("matplotlib is missing, which plots the study: pip install matplotlib")


def write_report(
    settings: StudySettings, workdir: str | os.PathLike, results: dict[str, dict]
) -> str:
    """Writes `study.json`, `study.md` and `study.png`.

    Args:
      settings: of the study.
      workdir: of the study.
      results: by member, see `run.run_study`.

    Returns:
      The Markdown table.

    Raises:
      NLRNError: a file cannot be written.
    """
    workdir, study = Path(workdir), settings.of_study
    members = {
        name: {**result, "paper_psnr": study.paper.get(name)} for name, result in results.items()
    }
    content = {
        "study": settings.study,
        "title": study.title,
        "smoke": settings.smoke,
        "shared": _shared(settings),
        "members": members,
    }
    write_text(workdir / STUDY, json.dumps(content, indent=1) + "\n")
    table = markdown(settings, results)
    write_text(workdir / "study.md", table)
    if any(result["psnr"] is not None for result in results.values()):
        _plot(settings, results, workdir / "study.png")
    return table


def markdown(settings: StudySettings, results: dict[str, dict]) -> str:
    """The results as a Markdown table, with what they hold for below."""
    study = settings.of_study
    rows = [_row(name, result, study.paper.get(name)) for name, result in results.items()]
    rows += _other_rows(study)
    lines = [_HEADINGS, ["---", *9 * ["---:"]], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    missing = [name for name in study.members if name not in results]
    return f"## {study.title}\n\n{table}\n\n{_note(settings, results, missing)}\n"


def _row(name: str, result: dict, paper: float | None) -> list[str]:
    ssim = result["ssim"]
    return [
        name,
        _decibels(result["psnr"]),
        "" if ssim is None else f"{ssim:.4f}",
        _decibels(result["held_out_psnr"]),
        "" if paper is None else f"{paper:.2f}",
        f"{result['parameters']:,}",
        str(result["depth"]),
        _count(result["multiply_adds"]),
        f"{result['steps']:,}",
        f"{result['minutes']:.1f}",
    ]


def _other_rows(study: Study) -> list[list[str]]:
    """Methods of the paper's table, and the packaged weights for it: neither is trained here."""
    if not study.others:
        return []
    rows = [
        [f"{name} (paper)", "", "", "", _decibels(size["psnr"]), f"{size['params']:,}", *4 * [""]]
        for name, size in study.others.items()
    ]
    name = f"denoise_s{study.noise_sigma:g}"
    entry = manifest()[name]
    score = next(
        score
        for score in entry["scores"]
        if score["dataset"] == "Set12" and not score["subset"] and not score["self_ensemble"]
    )
    config = NLRNConfig(**entry["config"])
    packaged = {
        **{"psnr": score["psnr"], "ssim": score["ssim"], "held_out_psnr": None},
        **{"parameters": parameters(config)[0], "depth": effective_depth(config)},
        **{"multiply_adds": multiply_adds(config)},
        **{"steps": entry["steps"], "minutes": entry["minutes"]},
    }
    cells = _row(f"{name} (packaged weights)", packaged, None)
    cells[_HEADINGS.index("held out (dB)")] = ""
    return [*rows, cells]


def _count(number: int) -> str:
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number:,}"


def _decibels(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2f}"


def _note(settings: StudySettings, results: dict[str, dict], missing: list[str]) -> str:
    shared = _shared(settings)
    budget = f"{shared['steps']:,} steps"
    if settings.minutes_per_run is not None:
        budget = f"{settings.minutes_per_run:g} minutes (at most {budget})"
    sentences = [
        f"Noise level {settings.of_study.noise_sigma:g}; each member trained for {budget}, seed "
        f"{shared['seed']}.",
        "Parameters are those of the convolutions.",
    ]
    machines = sorted({result["machine"] for result in results.values()})
    if machines:
        sentences.append(f"Trained on {'; '.join(machines)}.")
    if settings.smoke:
        sentences.append("A trial with tiny networks and one image: the scores mean nothing.")
    if missing:
        sentences.append(f"Not done yet: {', '.join(missing)}.")
    return " ".join(sentences)


def _shared(settings: StudySettings) -> dict:
    """The settings that all members have in common."""
    different = changed_fields(settings)
    first = identity(settings, next(iter(settings.of_study.members)))
    return {name: value for name, value in first.items() if name not in different}


def _plot(settings: StudySettings, results: dict[str, dict], path: Path) -> None:
    from matplotlib.figure import Figure

    study = settings.of_study
    scored = {name: r for name, r in results.items() if r["psnr"] is not None}
    figure = Figure(figsize=(8, 4.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    if study.axis is not None:
        field, label = study.axis
        points = sorted((result[field], result["psnr"]) for result in scored.values())
        axes.plot(*zip(*points, strict=True), marker="o")
        axes.set_xlabel(label)
        axes.set_ylabel("PSNR on Set12 (dB)")
    else:
        names = list(reversed(scored))
        values = [scored[name]["psnr"] for name in names]
        axes.plot(values, names, "o", label="here")
        papers = [(study.paper[name], name) for name in names if name in study.paper]
        if papers:
            axes.plot(*zip(*papers, strict=True), "x", label="paper")
        axes.set_xlabel("PSNR on Set12 (dB)")
        axes.legend()
    axes.grid(alpha=0.3)
    axes.set_title(study.title + (" (trial)" if settings.smoke else ""))
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
