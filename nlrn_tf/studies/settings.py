"""The settings of a study, and of the training of each member. Light: needs no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nlrn_tf.errors import NLRNError
from nlrn_tf.settings import documented, is_positive, require, require_choices, setting
from nlrn_tf.studies.members import HELD_OUT, SMOKE_MEMBERS, STUDIES, Changes, Study
from nlrn_tf.training.settings import TrainingConfig

# What all members have in common and a user may choose; flags of the same names.
OF_TRAINING = (
    *("filters", "embedding_size", "num_states", "patch_size", "batch_size"),
    *("steps", "learning_rate", "lr_schedule", "lr_halvings", "clip_norm", "ema_decay"),
    *("loss_center", "initializer", "scale_augmentation", "precision", "seed"),
)
OF_NETWORK = ("window_size", "unroll")

_ONE_NUMBER = ("filters", "embedding_size", "num_states", "patch_size", "batch_size")

# Seconds for each member, for a look at whether everything works; the scores mean nothing.
_SMOKE = {
    "filters": (6,),
    "embedding_size": (3,),
    "num_states": (4,),
    "window_size": 9,
    "patch_size": (9,),
    "batch_size": (4,),
    "steps": 40,
    "sources": ("BSDS500/train",),
    "scale_augmentation": (1.0,),
    "validation_images": HELD_OUT[:2],
    "validation_crop": 48,
}

# Without influence on the scores.
_IMMATERIAL = (
    *("checkpoint_minutes", "checkpoint_steps", "keep_checkpoints", "log_seconds", "max_skipped"),
    "unroll",
)


@documented
@dataclasses.dataclass(frozen=True)
class StudySettings:
    """What is compared, and how long each member is trained.

    Raises:
      NLRNError: a value is not possible.
    """

    study: str = setting(None, "Experiment of the paper.", choices=lambda: list(STUDIES))
    minutes_per_run: float | None = setting(
        None, "Minutes of training for each member; each also ends after --steps."
    )
    only: tuple[str, ...] = setting(
        (), "Members to train now, such as euclidean; all when none is named."
    )
    smoke: bool = setting(
        False, "A trial of under two minutes with tiny networks, whose scores mean nothing."
    )
    training: dict = dataclasses.field(
        default_factory=dict,
        metadata={"help": "Settings of `TrainingConfig` and `NLRNConfig` for all members."},
    )

    def __post_init__(self):
        require(self, "study", self.study in STUDIES, f"one of {', '.join(STUDIES)}")
        require_choices(self)
        object.__setattr__(self, "only", tuple(self.only))
        minutes = self.minutes_per_run
        require(self, "minutes_per_run", minutes is None or is_positive(minutes), "above 0")
        for name in self.only:
            if name not in self.of_study.members:
                members = ", ".join(self.of_study.members)
                raise NLRNError(f"only={name} is no member of {self.study}: give some of {members}")
        for name in _ONE_NUMBER:
            if len(self.training.get(name, (0,))) != 1:
                shown = ",".join(map(str, self.training[name]))
                raise NLRNError(
                    f"{name}={shown} is not allowed: a study has one phase, give one number"
                )
        for member in self.of_study.members:
            member_config(self, member)

    @property
    def of_study(self) -> Study:
        """The experiment."""
        return STUDIES[self.study]

    @property
    def max_images(self) -> int | None:
        """How many images of Set12 are scored, None for all."""
        return 1 if self.smoke else None


def member_config(settings: StudySettings, member: str) -> TrainingConfig:
    """How a member is trained: like all others except for what the study compares.

    Raises:
      NLRNError: the settings are not possible for the member.
    """
    shared: dict[str, Any] = {
        "filters": (128,),
        "embedding_size": (64,),
        "patch_size": (45,),
        "batch_size": (16,),
        "validation_images": HELD_OUT,
        "validation_crop": 128,
        "validation_minutes": 60.0,
        **settings.training,
    }
    if settings.minutes_per_run is not None:
        shared["max_minutes"] = settings.minutes_per_run
    members: Mapping[str, Changes] = settings.of_study.members
    if settings.smoke:
        shared |= _SMOKE
        members = SMOKE_MEMBERS.get(settings.study, members)
    changes = members[member]
    changes = changes(shared) if callable(changes) else changes
    if settings.smoke:
        changes = {name: value for name, value in changes.items() if name != "sources"}
    return TrainingConfig.of(
        task="denoise", **{**shared, "noise_sigma": settings.of_study.noise_sigma, **changes}
    )


def identity(settings: StudySettings, member: str) -> dict:
    """All that the scores of a member depend on, as JSON types."""
    values = member_config(settings, member).flat()
    kept = {name: value for name, value in values.items() if name not in _IMMATERIAL}
    return {**kept, "max_images": settings.max_images}


def changed_fields(settings: StudySettings) -> set[str]:
    """The settings in which the members differ."""
    found = [identity(settings, member) for member in settings.of_study.members]
    return {name for name in found[0] if any(other[name] != found[0][name] for other in found)}
