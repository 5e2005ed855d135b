"""What a training run is told."""

import dataclasses
import itertools

from nlrn_tf.errors import NLRNError
from nlrn_tf.precision import POLICIES


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of training with one size of network, patch size and batch size.

    `end` is the progress (0 to 1, see `schedule.Clock`) at which the next phase begins.
    """

    filters: int
    embedding_size: int
    num_states: int
    patch_size: int
    batch_size: int
    end: float


# Allowed values of --filters, as a message.
WIDER = "the same multiple of the filters and of the embedding size before"


def may_widen(before, after) -> bool:
    """Whether a network may grow from the `filters` and `embedding_size` of one to the other's."""
    factor = after.filters // before.filters
    return (after.filters, after.embedding_size) == (
        factor * before.filters,
        factor * before.embedding_size,
    )


_PER_PHASE = tuple(field.name for field in dataclasses.fields(Phase) if field.name != "end")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """All settings of a run but its folders; the flags of `run_train.py` have the same names.

    Lists in `filters`, `embedding_size`, `num_states`, `patch_size` and `batch_size` have one entry
    for each phase or one for all; `phase_ends` has the progress at which each phase but the last
    ends.
    """

    task: str = "denoise"
    noise_sigma: float = 25.0
    scales: tuple[int, ...] = (2, 3, 4)
    sources: tuple[str, ...] = ("BSDS500/train", "BSDS500/test")
    scale_augmentation: tuple[float, ...] = (1.0,)
    filters: tuple[int, ...] = (128,)
    embedding_size: tuple[int, ...] = (64,)
    window_size: int = 45
    non_local_every: int = 1
    num_states: tuple[int, ...] = (12,)
    patch_size: tuple[int, ...] = (45,)
    batch_size: tuple[int, ...] = (16,)
    phase_ends: tuple[float, ...] = ()
    unroll: bool = False
    accumulate: int = 1
    steps: int = 500_000
    max_minutes: float | None = None
    learning_rate: float = 1e-3
    lr_schedule: str = "halving"
    lr_halvings: int = 5
    clip_norm: float = 0.5
    ema_decay: float = 0.0
    precision: str = "float32"
    max_skipped: int = 20
    seed: int = 0
    validation_images: tuple[str, ...] = ()
    validation_crop: int = 0
    validation_minutes: float = 10.0
    validation_steps: int = 0
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int = 0
    keep_checkpoints: int = 3
    log_seconds: float = 30.0

    def __post_init__(self):
        for name in ("steps", "accumulate", "max_skipped", "keep_checkpoints", "lr_halvings"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("max_minutes", self.max_minutes is None or self.max_minutes > 0, "above 0")
        self._require("non_local_every", self.non_local_every >= 0, "0 or more")
        self._require("learning_rate", self.learning_rate > 0, "above 0")
        self._require("clip_norm", self.clip_norm > 0, "above 0")
        self._require("ema_decay", 0 <= self.ema_decay < 1, "at least 0 and below 1")
        self._require("precision", self.precision in POLICIES, f"one of {list(POLICIES)}")
        self._require("lr_schedule", self.lr_schedule in ("halving", "cosine"), "halving or cosine")
        self._require("noise_sigma", self.noise_sigma > 0, "above 0")
        self._require("sources", bool(self.sources), "at least one folder of images")
        self._check_phases()

    def phases(self) -> list[Phase]:
        """The phases in order; the last one ends at 1."""
        count = len(self.phase_ends) + 1
        columns = [
            values if len(values) == count else values * count
            for values in (getattr(self, name) for name in _PER_PHASE)
        ]
        return [Phase(*row) for row in zip(*columns, (*self.phase_ends, 1.0), strict=True)]

    def _check_phases(self):
        ends = (0.0, *self.phase_ends, 1.0)
        increasing = all(a < b for a, b in itertools.pairwise(ends))
        self._require("phase_ends", increasing, "increasing numbers between 0 and 1")
        for name in _PER_PHASE:
            values = getattr(self, name)
            self._require(
                name,
                len(values) in (1, len(ends) - 1),
                f"one number, or one for each of the {len(ends) - 1} phases of --phase_ends",
            )
            self._require(name, min(values) >= 1, "at least 1")
        grows = list(self.num_states) == sorted(self.num_states)
        self._require("num_states", grows, "never fewer states than in the phase before")
        for before, after in itertools.pairwise(self.phases()):
            self._require("filters", may_widen(before, after), WIDER)
        self._require(
            "patch_size",
            max(self.patch_size) <= self.window_size,
            f"at most the window size {self.window_size}, as in the paper",
        )

    def _require(self, name: str, valid: bool, allowed: str) -> None:
        if not valid:
            raise NLRNError(f"--{name}={getattr(self, name)!r} is not allowed: give {allowed}")
