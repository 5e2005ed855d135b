"""The settings of a training run."""

import bisect
import dataclasses
import itertools

from nlrn_tf.config import NLRNConfig
from nlrn_tf.precision import AUTO, POLICIES
from nlrn_tf.settings import (
    documented,
    is_count,
    is_positive,
    require,
    require_choices,
    setting,
)
from nlrn_tf.tasks.registry import task_named, task_names
from nlrn_tf.tasks.super_resolution import BEFORE


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of training with one size of network, patch size and batch size.

    `end` is the progress (0 to 1, see `schedule.Clock`) at which the next phase begins; `frozen`
    tells whether the statistics of the batch norms stand still.
    """

    filters: int
    embedding_size: int
    num_states: int
    patch_size: int
    batch_size: int
    end: float
    frozen: bool = False


# What may grow from phase to phase.
GROWING = ("filters", "embedding_size", "num_states")

# Fields of the network that follow from others of `TrainingConfig`, or are of no use in training.
_DERIVED = (
    *(*GROWING, "task", "noise_sigma", "trained_sigma", "scales"),
    *("trained_on", "attention", "exact_propagation"),
)

NETWORK_FIELDS = tuple(
    field.name for field in dataclasses.fields(NLRNConfig) if field.name not in _DERIVED
)

# Allowed values of filters and embedding_size, as a message.
WIDER = "the same multiple of the filters and of the embedding size before"


def may_widen(before, after) -> bool:
    """Whether a network may grow from the `filters` and `embedding_size` of one to the other's."""
    factor = after.filters // before.filters
    return (after.filters, after.embedding_size) == (
        factor * before.filters,
        factor * before.embedding_size,
    )


_PER_PHASE = (*GROWING, "patch_size", "batch_size")


@documented
@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """All settings of a run except its folders; the flags of `run_train.py` are made from them.

    Lists in `filters`, `embedding_size`, `num_states`, `patch_size` and `batch_size` have one entry
    for each phase or one for all. `network` is the network at the end of the training: what it has
    of these, and its task, follow from the other settings.

    Raises:
      NLRNError: a value is out of its range.
    """

    network: NLRNConfig = dataclasses.field(
        default_factory=NLRNConfig, metadata={"help": "The network at the end of the training."}
    )
    task: str = setting("denoise", "What to train for.", choices=task_names)
    noise_sigma: float = setting(25.0, "Noise level of denoising, in grey levels of 0..255.")
    noise_levels: tuple[float, ...] = setting(
        (),
        "Levels that the examples stand for: each draws one of them and is scaled by noise_sigma / "
        "level, so that one network learns them all; name one twice to draw it twice as often "
        "(none: noise_sigma).",
    )
    scales: tuple[int, ...] = setting(
        (2, 3, 4), "Factors of super-resolution, mixed in one network."
    )
    sources: tuple[str, ...] = setting(
        ("BSDS500/train", "BSDS500/test"), "Image folders below --data_dir."
    )
    scale_augmentation: tuple[float, ...] = setting(
        (1.0,), "Factors by which training images are shrunk."
    )
    filters: tuple[int, ...] = setting(
        (128,), "Channels of the state; one number for each phase or for all.", may_change=True
    )
    embedding_size: tuple[int, ...] = setting(
        (64,), "Channels of the embeddings theta and phi, likewise.", may_change=True
    )
    num_states: tuple[int, ...] = setting((12,), "Recurrent states, likewise.", may_change=True)
    patch_size: tuple[int, ...] = setting(
        (45,),
        "Side of the patches in pixels, likewise; in patches larger than the window each pixel "
        "attends to its window, as in an image.",
        may_change=True,
    )
    batch_size: tuple[int, ...] = setting((16,), "Patches in a batch, likewise.", may_change=True)
    phase_ends: tuple[float, ...] = setting(
        (), "Progress (0 to 1) at which each phase except the last ends.", may_change=True
    )
    freeze_norms_at: float = setting(
        1.0,
        "Progress (0 to 1) from which batch norms normalise by their moving statistics, as the "
        "network does in use, and leave them as they are (1: never).",
        may_change=True,
    )
    accumulate: int = setting(1, "Batches that one step sums the gradient of.", may_change=True)
    steps: int = setting(500_000, "Steps to train.", may_change=True)
    max_minutes: float | None = setting(
        None, "Ends, and completes the schedule, after this many minutes.", may_change=True
    )
    learning_rate: float = setting(1e-3, "Of Adam, at the start.", may_change=True)
    lr_schedule: str = setting(
        "halving",
        "How the learning rate falls.",
        choices=("halving", "cosine"),
        may_change=True,
    )
    lr_halvings: int = setting(
        5,
        "Halvings of the learning rate, at equal intervals (0: it stays as it is).",
        may_change=True,
    )
    norms_rate: float = setting(
        1.0, "Factor of the learning rate for scales and offsets of batch norms.", may_change=True
    )
    clip_norm: float = setting(
        0.5, "Global norm at which the gradient is clipped.", may_change=True
    )
    loss_center: int = setting(
        0,
        "Side in pixels of the central part of each patch that the loss is taken on (0: the whole "
        "patch, as in the paper; the authors' newer code has 5).",
    )
    initializer: str = setting(
        "fan_in",
        "Of the convolutions: fan_in scales by their inputs, xavier by inputs and outputs (Glorot, "
        "uniform), as the paper and the authors' code.",
        choices=("fan_in", "xavier"),
    )
    ema_decay: float = setting(0.0, "Decay of the average of the weights (0: no average).")
    precision: str = setting(
        "float32",
        "Of the products; auto takes bfloat16 where the processor or GPU has instructions for it, "
        "else float32.",
        choices=(AUTO, *POLICIES),
        may_change=True,
    )
    distribute: str = setting(
        "none",
        "none: one device; mirrored: all GPUs of this machine; multi_worker: the machines that the "
        "environment variable TF_CONFIG names. They share each batch, with the same result.",
        choices=("none", "mirrored", "multi_worker"),
        may_change=True,
    )
    max_skipped: int = setting(
        20, "Stops after this many steps in a row without a finite gradient.", may_change=True
    )
    seed: int = setting(0, "Of the weights, crops and noise.")
    validation_images: tuple[str, ...] = setting(
        (), "Images held out, such as BSDS500/train/100075."
    )
    validation_crop: int = setting(
        0,
        "Side of the central part of them that is used, in pixels (0: the whole image). Changed, "
        "the curve begins anew.",
        may_change=True,
    )
    validation_minutes: float = setting(10.0, "Minutes between validations.", may_change=True)
    validation_steps: int = setting(
        0, "Steps between further validations (0: none).", may_change=True
    )
    checkpoint_minutes: float = setting(5.0, "Minutes between checkpoints.", may_change=True)
    checkpoint_steps: int = setting(
        0, "Steps between further checkpoints (0: none).", may_change=True
    )
    keep_checkpoints: int = setting(3, "Checkpoints to keep.", may_change=True)
    log_seconds: float = setting(30.0, "Seconds between lines of the log.", may_change=True)

    def __post_init__(self):
        require_choices(self)
        counts = ("steps", "accumulate", "max_skipped", "keep_checkpoints")
        for name in counts:
            require(self, name, is_count(getattr(self, name)), "a whole number of at least 1")
        from_0 = ("seed", "validation_crop", "validation_steps", "checkpoint_steps")
        from_0 += ("loss_center", "lr_halvings")
        for name in from_0:
            require(self, name, is_count(getattr(self, name), 0), "a whole number of at least 0")
        positive = ("learning_rate", "norms_rate", "clip_norm", "noise_sigma")
        positive += ("validation_minutes", "checkpoint_minutes")
        for name in positive:
            require(self, name, is_positive(getattr(self, name)), "a number above 0")
        require(self, "log_seconds", self.log_seconds >= 0, "a number of at least 0")
        has_limit = self.max_minutes is not None
        require(self, "max_minutes", not has_limit or is_positive(self.max_minutes), "above 0")
        require(self, "ema_decay", 0 <= self.ema_decay < 1, "at least 0 and below 1")
        require(self, "freeze_norms_at", 0 <= self.freeze_norms_at <= 1, "from 0 to 1")
        require(self, "sources", bool(self.sources), "at least one folder of images")
        factors = self.scale_augmentation
        shrinks = bool(factors) and all(0.1 <= factor <= 1 for factor in factors)
        require(self, "scale_augmentation", shrinks, "factors of 0.1 to 1")
        task_named(self.task).check(self)
        enlarges = task_named(self.task).enlarges
        is_possible = self.network.upsample == BEFORE or enlarges
        require(
            self.network, "upsample", is_possible, f"before, as task={self.task} enlarges nothing"
        )
        self._check_phases()
        purpose = task_named(self.task).network(self)
        sizes = {name: getattr(self, name)[-1] for name in GROWING}
        network = dataclasses.replace(
            self.network, **{"noise_sigma": None, "scales": (), **purpose}, **sizes, task=self.task
        )
        object.__setattr__(self, "network", network)

    @classmethod
    def of(cls, **settings) -> "TrainingConfig":
        """The settings of a run from one list: those of the network are put into `network`."""
        network = {name: settings.pop(name) for name in NETWORK_FIELDS if name in settings}
        return cls(network=NLRNConfig(**network), **settings)

    def flat(self) -> dict:
        """All settings by name, as JSON types; `of` takes them."""
        values = dataclasses.asdict(self)
        network = values.pop("network")
        values |= {name: network[name] for name in NETWORK_FIELDS}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    def phases(self) -> list[Phase]:
        """The phases in order, to the end at 1. Where batch norms freeze, one becomes two."""
        count = len(self.phase_ends) + 1
        columns = [
            values if len(values) == count else values * count
            for values in (getattr(self, name) for name in _PER_PHASE)
        ]
        sizes = [dict(zip(_PER_PHASE, row, strict=True)) for row in zip(*columns, strict=True)]
        freeze = self.freeze_norms_at
        ends = sorted({*self.phase_ends, freeze, 1.0} - {0.0})
        return [
            Phase(**sizes[bisect.bisect_left(self.phase_ends, end)], end=end, frozen=end > freeze)
            for end in ends
        ]

    def _check_phases(self):
        ends = (0.0, *self.phase_ends, 1.0)
        increasing = all(a < b for a, b in itertools.pairwise(ends))
        require(self, "phase_ends", increasing, "increasing numbers between 0 and 1")
        for name in _PER_PHASE:
            values = getattr(self, name)
            fits = len(values) in (1, len(ends) - 1)
            allowed = f"one number, or one for each of the {len(ends) - 1} phases of phase_ends"
            require(self, name, fits, allowed)
            require(self, name, all(map(is_count, values)), "whole numbers of at least 1")
        grows = list(self.num_states) == sorted(self.num_states)
        require(self, "num_states", grows, "never fewer states than in the phase before")
        for before, after in itertools.pairwise(self.phases()):
            require(self, "filters", may_widen(before, after), WIDER)
        fits = self.loss_center <= min(self.patch_size)
        require(self, "loss_center", fits, "at most the patch size")


def changeable() -> set[str]:
    """The settings that may change when a run goes on; the others say what is being trained."""
    fields = (*dataclasses.fields(TrainingConfig), *dataclasses.fields(NLRNConfig))
    return {field.name for field in fields if field.metadata.get("may_change")}
