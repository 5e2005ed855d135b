"""The experiments of the paper as data: what each one compares. Light: needs no TensorFlow.

A member is the network of the study with a few settings changed. Where what changes follows from
the network itself, it is a function of the settings of the study.
"""

import dataclasses
from collections.abc import Callable, Mapping

from nlrn_tf.config import SIMILARITIES
from nlrn_tf.datasets.benchmarks import paper_ablation, paper_sizes

Changes = dict | Callable[[dict], dict]

# Left out of the training of every member, and a part of no test set.
HELD_OUT = tuple(
    f"BSDS500/train/{number}"
    for number in (
        *("108041", "138032", "16052", "187029", "216066"),
        *("246016", "286092", "353013", "45077", "76002"),
    )
)


@dataclasses.dataclass(frozen=True)
class Study:
    """An experiment.

    Attributes:
      title: heading of its table.
      members: what is changed in each one, by name.
      paper: PSNR in dB on Set12 that the paper prints, by member; empty where it only plots.
      noise_sigma: noise level of training and test, in grey levels of 0..255.
      axis: setting that the members are plotted against, with its unit; None for a bar each.
      others: methods of the paper's table that are not trained here, {"params", "psnr"} by name.
    """

    title: str
    members: Mapping[str, Changes]
    paper: Mapping[str, float] = dataclasses.field(default_factory=dict)
    noise_sigma: float = 25.0
    axis: tuple[str, str] | None = None
    others: Mapping[str, dict] = dataclasses.field(default_factory=dict)


def _without_module(settings: dict) -> dict:
    """No non-local module, and so many channels that the convolutions keep their parameters."""
    filters, embedding = settings["filters"][0], settings["embedding_size"][0]
    module = 2 * (filters + 1) * embedding + (filters + 1) * filters
    wanted = _parameters_without_module(filters) + module
    candidates = range(filters, 2 * filters + 1)
    nearest = min(candidates, key=lambda count: abs(_parameters_without_module(count) - wanted))
    return {"non_local_every": 0, "filters": (nearest,)}


def _parameters_without_module(filters: int) -> int:
    return 2 * (9 * filters**2 + filters) + 10 * filters + 9 * filters + 1


def _window(size: int) -> Callable[[dict], dict]:
    """A window, and in training patches of its size, with as many pixels in a batch."""

    def changes(settings: dict) -> dict:
        patch, batch = settings["patch_size"][0], settings["batch_size"][0]
        count = max(1, round(batch * (patch / size) ** 2))
        return {"window_size": size, "patch_size": (size,), "batch_size": (count,)}

    return changes


_SIZES = paper_sizes()

STUDIES = {
    "table1": Study(
        "Table 1: the correlation of two pixels",
        {name: {"similarity": name} for name in SIMILARITIES},
        paper_ablation("table1"),
    ),
    "table2": Study(
        "Table 2: parts of the network",
        {
            "untied_weights": {"tied_weights": False},
            "rnn_without_non_local": _without_module,
            "non_local_every_2": {"non_local_every": 2},
            "non_local_every_3": {"non_local_every": 3},
            "no_correlation_propagation": {"correlation_propagation": False},
            "nlrn": {},
        },
        paper_ablation("table2"),
    ),
    "table3": Study(
        "Table 3: size and training images",
        {
            "nlrn_400_images": {"sources": ("BSDS500/train", "BSDS500/test")},
            "nlrn_300_images": {"sources": ("BSDS500/train", "BSDS500/val")},
        },
        {name: size["psnr"] for name, size in _SIZES.items() if name.startswith("nlrn_")},
        noise_sigma=50.0,
        others={name: size for name, size in _SIZES.items() if not name.startswith("nlrn_")},
    ),
    "figure5": Study(
        "Figure 5: the neighbourhood of a pixel",
        {f"window_{size}": _window(size) for size in (15, 25, 35, 45)},
        axis=("window_size", "window (pixels)"),
    ),
    "figure6": Study(
        "Figure 6: the number of recurrent states",
        {f"states_{count}": {"num_states": (count,)} for count in (3, 6, 9, 12, 15)},
        axis=("num_states", "recurrent states"),
    ),
}

# In a trial run the members keep their order on the axis, but are small.
SMOKE_MEMBERS: dict[str, Mapping[str, Changes]] = {
    "figure5": {f"window_{size}": _window(size // 5) for size in (15, 25, 35, 45)},
    "figure6": {f"states_{count}": {"num_states": (count // 3,)} for count in (3, 6, 9, 12, 15)},
}
