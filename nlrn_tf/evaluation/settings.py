"""What an evaluation scores, and how. Light: the scripts check their flags with it."""

import dataclasses
import math
import shlex
from collections.abc import Sequence
from typing import Any

from nlrn_tf import precision
from nlrn_tf.config import BORDERS
from nlrn_tf.datasets.benchmarks import BENCHMARKS, paper_rows
from nlrn_tf.datasets.own import is_set, set_named
from nlrn_tf.errors import NLRNError
from nlrn_tf.restoration.settings import COLOURS, PROTOCOLS
from nlrn_tf.settings import documented, require, require_choices, setting
from nlrn_tf.tasks.registry import all_tasks, chosen_by, owner_of, task_named, task_names
from nlrn_tf.tasks.task import Task
from nlrn_tf.weights.level_choice import of_family

NETWORK = "nlrn"  # the method that is a network
ALL = "all"  # stands for the levels or the factors of the paper

# The tables of the paper that `dataset` may stand for.
_TABLES = {"table4": 4, "table5": 5, "table6": 6}

# The fields that `EvaluationSettings.command` names where they differ from the default.
_OPTIONS = (
    "protocol",
    "stride",
    "patch_size",
    "self_ensemble",
    "colour",
    "window_border",
    "precision",
    "exact",
    "quantize_lr",
    "max_images",
    "images",
)


def methods() -> list[str]:
    """What can be scored: the network, and for each task its input as it is."""
    inputs = [method for task in all_tasks() for method in task.input_methods]
    return list(dict.fromkeys([NETWORK, *inputs]))


@documented
@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """The settings of one evaluation; what is left out is filled in on creation.

    Raises:
      NLRNError: a value is not possible, or two contradict each other.
    """

    dataset: str = setting(
        None,
        f"Benchmark to score on, one of {', '.join(BENCHMARKS)}; all: those of Tables 4 and 6 of "
        "the paper, at each of its levels or factors, or of the one of the task; "
        f"{', '.join(_TABLES)}: those of one table. Or a folder of your own, of clean images, "
        "which are degraded, or of pairs in the sub-folders clean and noisy, or HR and LR.",
    )
    task: str | None = setting(
        None,
        "Denoising or super-resolution. Default: what --noise_sigma or --scale belongs to, else "
        "what the paper mostly uses the data set for.",
        choices=task_names,
    )
    noise_sigma: float | None = setting(
        None, "Noise of denoising, in grey levels of 0..255, or all: 15, 25 and 50. Default: 25."
    )
    scale: int | None = setting(None, "Factor of super-resolution, or all: 2, 3 and 4. Default: 2.")
    quantize_lr: bool = setting(
        False,
        "Round the low-resolution image to 8 bits, as in a file; the paper's is not rounded.",
    )
    method: str = setting(
        NETWORK,
        "nlrn: the network. identity: its input, the noisy or bicubic image. bicubic: the same, "
        "for super-resolution only.",
        choices=methods,
    )
    weights: str | None = setting(
        None,
        "Packaged weights by name or family, or path of a .keras file; a denoiser is scaled to "
        "the level. Default: denoise_s<noise_sigma> or the best at the level, or sr_lite; "
        "for Table 5, table5.",
    )
    protocol: str = setting(
        "full",
        "full: whole images. patches: overlapping patches, averaged, as the original release does.",
        choices=PROTOCOLS,
    )
    stride: int = setting(7, "Pixels between the patches.")
    patch_size: int = setting(45, "Side of the patches in pixels.")
    self_ensemble: bool = setting(
        False, "Average over the 8 flips and rotations (the paper's MV): 8 times slower."
    )
    colour: str = setting(
        "opponent",
        "How a denoiser restores colour: along opponent axes, or the channels one by one.",
        choices=COLOURS,
    )
    window_border: str | None = setting(
        None,
        "What attention windows do at the border of the image. Default: what the weights say.",
        choices=BORDERS,
    )
    exact: bool = setting(False, precision.EXACT_HELP)
    precision: str = setting(precision.AUTO, precision.HELP, choices=precision.CHOICES)
    max_images: int | None = setting(None, "Score only the first images of the data set.")
    images: tuple[str, ...] = setting(
        (),
        "Score only these images, such as img_001,img_011. Their noise is that of the whole set.",
    )

    def __post_init__(self):
        object.__setattr__(self, "images", tuple(self.images))
        known = f"one of {', '.join([*BENCHMARKS, ALL, *_TABLES])}, or a folder of images"
        require(self, "dataset", is_set(self.dataset), known)
        require_choices(self)
        self._fill("task", self._default_task())
        self._check_contradictions()
        task = self.of_task
        if task.setting is not None and self.setting is None and set_named(self.dataset).pairs:
            self._fill(task.setting, task.setting_of(set_named(self.dataset).pairs))
        if task.setting is not None:
            self._fill(task.setting, task.default_setting)
            lowest, highest = task.setting_range
            value = self.setting or 0
            allowed = f"at least {lowest:g}" if lowest else f"above 0 and at most {highest:g}"
            fits = lowest <= value <= highest and 0 < value < math.inf
            require(self, task.setting, fits, allowed)
        weights = None
        if self.method == NETWORK:
            weights = of_family(self.weights or self.default_weights, self.noise_sigma)
        object.__setattr__(self, "weights", weights)
        require(self, "stride", 1 <= self.stride <= self.patch_size, "from 1 to patch_size")
        has_limit = self.max_images is not None
        require(self, "max_images", not has_limit or self.max_images >= 1, "at least 1")

    @property
    def of_task(self) -> Task:
        """The task."""
        return task_named(self.task or self._default_task())

    @property
    def degradation(self) -> dict:
        """The setting and the options of the task by name, for the methods of `Task`."""
        names = (self.of_task.setting, *self.of_task.options)
        return {name: getattr(self, name) for name in names if name is not None}

    @property
    def default_weights(self) -> str:
        """The packaged name for the task, or for a data set that its weights were trained on."""
        task, of_set = self.of_task, set_named(self.dataset)
        if of_set.weights and of_set.task == task.name:
            return of_set.weights
        return task.default_weights(**({task.setting: self.setting} if task.setting else {}))

    @property
    def network(self) -> str:
        """The weights of method "nlrn", given or by default."""
        return self.weights or self.default_weights

    @property
    def setting(self) -> float | None:
        """The noise sigma or the scale; None for a task without a setting."""
        return getattr(self, self.of_task.setting) if self.of_task.setting else None

    @property
    def in_colour(self) -> bool:
        """Whether RGB is scored: of a folder of people's own where the task is scored so."""
        images = set_named(self.dataset)
        return images.colour and (self.of_task.scores_colour or not images.images)

    @property
    def border(self) -> int:
        """Pixels at each edge that the scores leave out: the scale in super-resolution."""
        return self.of_task.border(**self.degradation)

    @property
    def command(self) -> str:
        """The command that evaluates with these settings."""
        words = [f"--dataset={self.dataset}"]
        if self.of_task.setting:
            words.append(f"--{self.of_task.setting}={self.setting:g}")
        else:
            words.append(f"--task={self.task}")
        if self.method == NETWORK:
            words.append(f"--weights={self.weights}")
        else:
            words.append(f"--method={self.method}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _OPTIONS and value != field.default:
                words.append(_flag(field.name, value))
        return shlex.join(["python", "run_eval.py", *words])

    def _default_task(self) -> str:
        given = [name for name in _task_settings() if getattr(self, name) is not None]
        chosen = chosen_by(given)
        return chosen.name if chosen else set_named(self.dataset).task

    def _check_contradictions(self) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for task in all_tasks():
            for name in (task.setting, *task.options):
                if name is None or task.name == self.task or getattr(self, name) == defaults[name]:
                    continue
                raise NLRNError(
                    f"{name}={getattr(self, name)} belongs to task {owner_of(name).name}, the task "
                    f"is {self.task}"
                )
        images = set_named(self.dataset)
        if images.pairs and images.task != self.task:
            raise NLRNError(
                f"dataset={self.dataset} holds pairs for task {images.task} "
                f"({' and '.join(task_named(images.task).pair_folders)}), the task is {self.task}"
            )
        if self.images and self.max_images is not None:
            raise NLRNError("images and max_images both choose a part of the set; give one")
        if self.method not in (NETWORK, *self.of_task.input_methods):
            raise NLRNError(
                f"method={self.method} is not one of task {self.task}; "
                f"method={self.of_task.input_methods[0]} scores the input of the network as it is"
            )
        if self.exact and self.method != NETWORK:
            raise NLRNError(f"exact=True is for the network, not for method={self.method}")

    def _fill(self, name: str, value: object) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)


def settings_for(**texts: Any) -> list[EvaluationSettings]:
    """The settings that flags stand for: one, or with "all" one for each level or factor.

    Args:
      **texts: fields of `EvaluationSettings`; those that are settings of tasks, `noise_sigma` and
        `scale`, as texts: a number, or "all" for those of the paper. `dataset` may be "all" or
        a table, for each row that fits the task and the number.

    Raises:
      NLRNError: a value is not possible, or two contradict each other.
    """
    names = [name for name in _task_settings() if name in texts]
    every = [name for name in names if texts[name] == ALL]
    numbers: dict[str, Any] = {
        name: _number(name, texts[name]) for name in names if name not in every
    }
    others = {name: value for name, value in texts.items() if name not in names}
    if texts.get("dataset") in (ALL, *_TABLES):
        return _rows_of_tables(numbers, others, chosen_by([*every, *_given(numbers)]))
    if not every:
        return [EvaluationSettings(**numbers, **others)]
    if len(every) > 1:
        raise NLRNError(f"{'=all and '.join(every)}=all contradict each other; give one")
    name = every[0]
    return [
        EvaluationSettings(**{**numbers, name: value}, **others)
        for value in owner_of(name).published_settings
    ]


def _rows_of_tables(numbers: dict, others: dict, chosen: Task | None) -> list[EvaluationSettings]:
    dataset = others["dataset"]
    task = task_named(others["task"]) if others.get("task") else chosen
    tables = [_TABLES[dataset]] if dataset in _TABLES else []
    if dataset == ALL:
        if task is None and others.get("weights"):
            raise NLRNError(f"dataset=all with weights={others['weights']}: give their task too")
        tasks = all_tasks() if task is None else [task]
        tables = [t.paper_table for t in tasks if t.paper_table is not None]
    wanted = set(_given(numbers).values())
    found = []
    for table in tables:
        name, rows = paper_rows(table)
        weights = others.get("weights") or _weights_of_table(rows)
        field = task_named(name).setting or ""
        for images, value in rows:
            if not wanted or value in wanted:
                given = {**others, "dataset": images, "task": others.get("task") or name}
                given["weights"] = weights
                value = task_named(name).setting_type(value)
                found.append(EvaluationSettings(**{**given, **numbers, field: value}))
    if not found:
        shown = ", ".join(f"{name}={value:g}" for name, value in _given(numbers).items())
        raise NLRNError(f"{shown}: no row of the paper's table has it; name the dataset")
    return found


def _weights_of_table(rows: Sequence[tuple[str, float]]) -> str | None:
    """One network for the whole table where a set in it wants weights of its own."""
    return next(filter(None, (BENCHMARKS[images].weights for images, _ in rows)), None)


def _given(numbers: dict) -> dict:
    return {name: value for name, value in numbers.items() if value is not None}


def _task_settings() -> list[str]:
    return [task.setting for task in all_tasks() if task.setting]


def _number(name: str, text: str | None) -> Any:
    """The number in a text, of the type of the setting; None without one."""
    kind = owner_of(name).setting_type
    try:
        return None if text is None else kind(text)
    except ValueError as error:
        description = "a whole number" if kind is int else "a number"
        raise NLRNError(f"{name}={text} is not possible: must be {description}, or all") from error


def _flag(name: str, value: object) -> str:
    if value is True:
        return f"--{name}"
    return f"--{name}={','.join(value) if isinstance(value, tuple) else value}"
