"""The picture of training curves (`curve.csv` of a run, see `nlrn_tf.training.curve`)."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path
from nlrn_tf.training.curve import read_curve

_DPI = 110
_SIZE = (10.0, 4.6)  # inches


def plot_curves(paths: Sequence[str | os.PathLike], output: str | os.PathLike) -> None:
    """Draws validation PSNR and learning rate against steps and hours.

    Dotted lines mark where the number of recurrent states grew. In the title is where each curve
    ends.

    Args:
      paths: of `curve.csv`, or packaged `<name>_curve.csv`.
      output: an image file that matplotlib writes, such as .png or .svg.

    Raises:
      NLRNError: no path, a file that is no curve, matplotlib is not installed, or the output
        cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NLRNError("matplotlib is missing: pip install matplotlib") from error
    if not paths:
        raise NLRNError("no curve: name at least one file")
    curves = {curve_name(path): read_curve(path) for path in paths}
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=(3, 1))
    for column, unit in enumerate(("steps", "hours")):
        for colour, (name, curve) in enumerate(curves.items()):
            x = curve["step"] if unit == "steps" else curve["minutes"] / 60
            style = {"color": f"C{colour}", "marker": ".", "linewidth": 1.5, "label": name}
            axes[0, column].plot(x, curve["val_psnr"], **style)
            axes[1, column].plot(x, curve["learning_rate"], **style)
            _mark_growth(axes[:, column], x, curve["num_states"], f"C{colour}")
        axes[1, column].set_xlabel(unit)
        axes[1, column].set_ylim(bottom=0)
        for panel in axes[:, column]:
            panel.grid(alpha=0.3)
            panel.set_xlim(left=0)
    axes[0, 0].set_ylabel("validation PSNR (dB)")
    axes[1, 0].set_ylabel("learning rate")
    if len(curves) > 1:
        axes[0, 1].legend()
    figure.suptitle("\n".join(_end(name, curve) for name, curve in curves.items()))
    try:
        with atomic_path(output) as temporary:
            figure.savefig(temporary)
    except ValueError as error:  # a suffix that matplotlib does not know
        raise NLRNError(f"{output}: cannot be written ({error}); use .png") from error


def curve_name(path: str | os.PathLike) -> str:
    """`denoise_s25` of `weights/denoise_s25_curve.csv` and of `runs/denoise_s25/curve.csv`."""
    path = Path(path)
    name = path.stem.removesuffix("curve").removesuffix("_")
    return name or path.absolute().parent.name


def _mark_growth(panels: np.ndarray, x: np.ndarray, states: np.ndarray, colour: str) -> None:
    """A line at the first point of each number of states except the first, with that number."""
    for k in np.flatnonzero(np.diff(states)) + 1:
        for panel in panels:
            panel.axvline(x[k], color=colour, linestyle=":", linewidth=1)
        panels[0].annotate(
            f"{states[k]:g} states",
            (x[k], 0.02),
            xycoords=("data", "axes fraction"),
            color=colour,
            fontsize="small",
            rotation=90,
            ha="right",
        )


def _end(name: str, curve: dict[str, np.ndarray]) -> str:
    psnr, step, hours = curve["val_psnr"][-1], curve["step"][-1], curve["minutes"][-1] / 60
    return f"{name}: {psnr:.2f} dB on validation images after {step:,.0f} steps, {hours:.1f} hours"
