"""Ways of training that are compared by short runs: what each one changes.

A member is a run from random weights unless it goes on from another (`start`). All have the
images, steps, seed and held-out images of their task in common.
"""

import dataclasses
import statistics
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from maintenance.held_out import held_out_images
from nlrn_tf.training.curve import read_curve
from nlrn_tf.training.settings import TrainingConfig

STEPS = 1000

_LEVELS = (10, 15, 15, 25, 25, 35, 35, 50, 50, 50, 50, 70, 70, 70)

# A network that thousands of steps are enough for, in the proportions of the fast networks.
_SHARED = {
    "filters": (64,),
    "embedding_size": (32,),
    "num_states": (4,),
    "window_size": 29,
    "unroll": True,
    "patch_size": (28,),
    "batch_size": (8,),
    "learning_rate": 1e-3,
    "lr_schedule": "cosine",
    "clip_norm": 0.5,
    "ema_decay": 0.99,
    "precision": "auto",
    "validation_crop": 128,
    "validation_minutes": 1e6,
    "checkpoint_minutes": 1e6,
    "keep_checkpoints": 1,
    "log_seconds": 10,
}
_OF_TASK = {
    "denoise": {"sources": ("BSDS500/train", "BSDS500/test"), "noise_sigma": 25.0},
    "sr": {
        "sources": ("T91", "BSDS500/train"),
        "scale_augmentation": (1.0, 0.9, 0.8, 0.7, 0.6),
    },
}
_HELD_OUT = {"denoise": "denoise_s25.cfg", "sr": "gpu/sr.cfg"}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A way of training.

    Attributes:
      what: a line for the table.
      changes: settings that differ from those of the task.
      start: a member whose weights it starts from, None for random ones.
      share: of the steps; the member that it starts from took the rest, where it is no other task.
    """

    what: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    start: str | None = None
    share: float = 1.0


RECIPES: dict[str, Recipe] = {
    "denoise": Recipe("as the recipes: one cosine, fan-in, clip 0.5, EMA 0.99"),
    "denoise_xavier": Recipe("Xavier initialisation", {"initializer": "xavier"}),
    "denoise_clip_5": Recipe("clip 5", {"clip_norm": 5.0}),
    "denoise_no_ema": Recipe("no EMA", {"ema_decay": 0.0}),
    "denoise_ema_0.999": Recipe("EMA 0.999", {"ema_decay": 0.999}),
    "denoise_frozen_0.8": Recipe("batch norms at rest in the last fifth", {"freeze_norms_at": 0.8}),
    "denoise_frozen_0.5": Recipe("in the second half", {"freeze_norms_at": 0.5}),
    "denoise_constant": Recipe("constant rate", {"lr_schedule": "halving", "lr_halvings": 0}),
    "denoise_batches_32": Recipe(
        "constant rate, batches of 32 in the last fifth",
        {
            "lr_schedule": "halving",
            "lr_halvings": 0,
            "batch_size": (8, 32),
            "phase_ends": (0.8,),
        },
    ),
    "denoise_half": Recipe("half the steps", share=0.5),
    "denoise_restart": Recipe("a second cosine from there", start="denoise_half", share=0.5),
    "denoise_patches_44": Recipe(
        "3 patches of 44x44 in the last fifth",
        {"patch_size": (28, 44), "batch_size": (8, 3), "phase_ends": (0.8,)},
    ),
    "denoise_norms_0.3": Recipe("batch norms at 0.3 of the rate", {"norms_rate": 0.3}),
    "denoise_norms_3": Recipe("batch norms at 3 times the rate", {"norms_rate": 3.0}),
    "denoise_scaled": Recipe(
        "images also shrunk by 0.6 to 0.9", {"scale_augmentation": (1.0, 0.9, 0.8, 0.7, 0.6)}
    ),
    "denoise_mixed": Recipe("levels of 10 to 70", {"noise_levels": _LEVELS}),
    "denoise_mixed_frozen": Recipe(
        "levels of 10 to 70, batch norms at rest in the last fifth",
        {"noise_levels": _LEVELS, "freeze_norms_at": 0.8},
    ),
    "sr": Recipe("four states of 64 channels from the start"),
    "sr_unscaled": Recipe("images not shrunk", {"scale_augmentation": (1.0,)}),
    "sr_few_states_first": Recipe(
        "two states in the first half", {"num_states": (2, 4), "phase_ends": (0.5,)}
    ),
    "sr_shorter": Recipe("three quarters of the steps", share=0.75),
    "sr_narrow_first": Recipe(
        "32 channels in the first half",
        {"filters": (32, 64), "embedding_size": (16, 32), "phase_ends": (0.5,)},
    ),
    "sr_many_states": Recipe("eight states", {"num_states": (8,)}),
    "sr_every_2nd": Recipe("the module in every 2nd state", {"non_local_every": 2}),
    "sr_untied": Recipe("weights of its own in each state", {"tied_weights": False}),
    "sr_frozen_0.8": Recipe("batch norms at rest in the last fifth", {"freeze_norms_at": 0.8}),
    "sr_from_denoiser": Recipe("from the denoiser of as many steps", start="denoise"),
}


def config_of(name: str, steps: int, seed: int) -> TrainingConfig:
    """How a member is trained when a whole training has `steps`.

    Raises:
      NLRNError: a setting is not possible.
    """
    recipe, task = RECIPES[name], task_of(name)
    settings = {
        **_SHARED,
        **_OF_TASK[task],
        "validation_images": tuple(held_out_images(_HELD_OUT[task])),
        "steps": round(steps * recipe.share),
        # What goes on sees other examples than what it starts from.
        "seed": seed if recipe.start is None else seed + 1000,
    }
    return TrainingConfig.of(task=task, **{**settings, **recipe.changes})


def task_of(name: str) -> str:
    """The task of a member, which its name begins with."""
    return name.split("_")[0]


def folder_of(workdir: Path, name: str, steps: int, seed: int) -> Path:
    """The work folder of a run of a member."""
    return workdir / f"{name}_seed{seed}_{steps}"


def score_of(folder: Path, steps: int) -> float | None:
    """Validation PSNR in dB at the end of a run of so many steps, None before that."""
    if not (folder / "curve.csv").exists():
        return None
    curve = read_curve(folder / "curve.csv")
    return float(curve["val_psnr"][-1]) if curve["step"][-1] == steps else None


def table_of(workdir: Path, steps: int) -> str:
    """What is done of the members, in Markdown.

    PSNR is the mean over the seeds that are there, the spread half of their range. The gain is over
    the member that has the name of the task, seed by seed, and so are the products, of all steps
    from random weights on.
    """
    lines = ["| | PSNR (dB) | spread | gain | products |", "|---|---:|---:|---:|---:|"]
    for name, recipe in RECIPES.items():
        scores = _scores(workdir, name, steps)
        if scores:
            mean, spread = statistics.fmean(scores.values()), _range(scores.values()) / 2
            usual = _scores(workdir, task_of(name), steps)
            gains = [score - usual[seed] for seed, score in scores.items() if seed in usual]
            gain = f"{statistics.fmean(gains):+.3f}" if gains else ""
            products = f"{_operations(name, steps) / _operations(task_of(name), steps):.2f}"
            cells = (f"`{name}`: {recipe.what}", f"{mean:.3f}", f"{spread:.3f}", gain, products)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _operations(name: str, steps: int) -> float:
    from nlrn_tf.studies.complexity import training_operations

    start = RECIPES[name].start
    before = _operations(start, steps) if start else 0.0
    return before + training_operations(config_of(name, steps, 0))


def _range(values: Collection[float]) -> float:
    return max(values) - min(values)


def _scores(workdir: Path, name: str, steps: int) -> dict[int, float]:
    """The scores of a member by seed."""
    found = {}
    for folder in workdir.glob(f"{name}_seed*_{steps}"):
        seed = int(folder.name.removeprefix(f"{name}_seed").split("_")[0])
        score = score_of(folder, config_of(name, steps, seed).steps)
        if score is not None:
            found[seed] = score
    return found
