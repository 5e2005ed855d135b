"""What an evaluation scores, and how. Light: the scripts check their flags with it."""

import dataclasses
import math
import shlex
from collections.abc import Iterable

from nlrn_tf.config import BORDERS, TASKS
from nlrn_tf.datasets.benchmarks import BENCHMARKS
from nlrn_tf.errors import NLRNError
from nlrn_tf.precision import AUTO, CHOICES

METHODS = ("nlrn", "bicubic", "identity")
PROTOCOLS = ("full", "patches")
DEFAULT_SIGMA = 25.0
DEFAULT_SCALE = 2
# What "all" stands for: the paper's levels (table 4) and factors (table 6).
ALL = {"noise_sigma": (15.0, 25.0, 50.0), "scale": (2, 3, 4)}

# The fields that `EvaluationSettings.command` names where they differ from the default.
_OPTIONS = (
    "protocol",
    "stride",
    "patch_size",
    "self_ensemble",
    "window_border",
    "precision",
    "quantize_lr",
    "max_images",
    "images",
)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """The settings of one evaluation; what is left out is filled in on creation.

    Attributes:
      dataset: one of `nlrn_tf.datasets.benchmarks.BENCHMARKS`.
      task: "denoise" or "sr"; left out, what `noise_sigma` or `scale` belongs to, else what the
        paper mostly uses the data set for.
      noise_sigma: of denoising, in grey levels of 0..255 (25); None for super-resolution.
      scale: of super-resolution, at least 2 (2); None for denoising.
      method: "nlrn"; "identity", which scores the input of the network as it is, the noisy or
        the bicubic image; "bicubic", the same for super-resolution and not possible for denoising.
      weights: packaged name or path; left out, `denoise_s<sigma>` or `sr`. The methods
        without a network do not use it: None.
      protocol: "full" restores whole images, "patches" averages overlapping patches.
      stride, patch_size: of the patches in pixels; 1 <= stride <= patch_size.
      self_ensemble: averages over the 8 flips and rotations.
      window_border: of the attention, "clamp" or "circular"; None keeps that of the weights.
      precision: of the products, "float32", "bfloat16", or "auto" for the faster one here.
      quantize_lr: rounds the low-resolution image to 8 bits, as a file of it is; the paper's is
        not rounded.
      max_images: only the first images of the set; None for all.
      images: names without their suffix, only these images; empty for all. Their noise is that
        of their positions in the whole set.

    Raises:
      NLRNError: a value is not possible, or two contradict each other.
    """

    dataset: str
    task: str | None = None
    noise_sigma: float | None = None
    scale: int | None = None
    method: str = "nlrn"
    weights: str | None = None
    protocol: str = "full"
    stride: int = 7
    patch_size: int = 45
    self_ensemble: bool = False
    window_border: str | None = None
    precision: str = AUTO
    quantize_lr: bool = False
    max_images: int | None = None
    images: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "images", tuple(self.images))
        self._require_one_of("dataset", BENCHMARKS)
        if self.task is not None:
            self._require_one_of("task", TASKS)
        if self.window_border is not None:
            self._require_one_of("window_border", BORDERS)
        self._require_one_of("method", METHODS)
        self._require_one_of("precision", CHOICES)
        self._require_one_of("protocol", PROTOCOLS)
        self._fill("task", self._default_task())
        self._check_contradictions()
        if self.task == "denoise":
            self._fill("noise_sigma", DEFAULT_SIGMA)
            self._require("noise_sigma", 0 < self.noise_sigma < math.inf, "above 0 (grey levels)")
        else:
            self._fill("scale", DEFAULT_SCALE)
            self._require("scale", self.scale >= 2, "a whole number of at least 2")
        if self.method == "nlrn":
            self._fill("weights", self.default_weights)
        else:
            object.__setattr__(self, "weights", None)
        self._require("stride", 1 <= self.stride <= self.patch_size, "from 1 to patch_size")
        self._require("max_images", self.max_images is None or self.max_images >= 1, "at least 1")

    @property
    def default_weights(self) -> str:
        """The packaged name for the task."""
        return "sr" if self.task == "sr" else f"denoise_s{self.noise_sigma:g}"

    @property
    def setting(self) -> float:
        """The noise sigma or the scale."""
        return self.noise_sigma if self.task == "denoise" else self.scale

    @property
    def setting_name(self) -> str:
        """ "noise_sigma" or "scale"."""
        return "noise_sigma" if self.task == "denoise" else "scale"

    @property
    def input_name(self) -> str:
        """What the network gets, the "noisy" or the "bicubic" image."""
        return "noisy" if self.task == "denoise" else "bicubic"

    @property
    def border(self) -> int:
        """Pixels at each edge that the scores leave out: the scale in super-resolution."""
        return 0 if self.task == "denoise" else self.scale

    @property
    def command(self) -> str:
        """The command that evaluates with these settings."""
        words = [f"--dataset={self.dataset}", f"--{self.setting_name}={self.setting:g}"]
        if self.method == "nlrn":
            words.append(f"--weights={self.weights}")
        else:
            words.append(f"--method={self.method}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _OPTIONS and value != field.default:
                words.append(_flag(field.name, value))
        return shlex.join(["python", "run_eval.py", *words])

    def _default_task(self) -> str:
        if (self.noise_sigma is None) == (self.scale is None):
            return BENCHMARKS[self.dataset].task
        return "sr" if self.noise_sigma is None else "denoise"

    def _check_contradictions(self) -> None:
        if self.task == "denoise" and self.scale is not None:
            raise NLRNError(f"scale={self.scale} belongs to task sr, the task is denoise")
        if self.task == "sr" and self.noise_sigma is not None:
            raise NLRNError(f"noise_sigma={self.noise_sigma:g} belongs to denoise, the task is sr")
        if self.task == "denoise" and self.quantize_lr:
            raise NLRNError("quantize_lr belongs to task sr, the task is denoise")
        if self.images and self.max_images is not None:
            raise NLRNError("images and max_images both choose a part of the set; give one")
        if self.task == "denoise" and self.method == "bicubic":
            raise NLRNError(
                "method=bicubic enlarges, the task is denoise; method=identity scores the noisy "
                "images, task=sr super-resolution"
            )

    def _fill(self, name: str, value: object) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _require_one_of(self, name: str, allowed: Iterable[str]) -> None:
        self._require(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")

    def _require(self, name: str, valid: bool, allowed: str) -> None:
        if not valid:
            raise NLRNError(f"{name}={getattr(self, name)} is not possible: must be {allowed}")


def settings_for(
    *, noise_sigma: str | None = None, scale: str | None = None, **others: object
) -> list[EvaluationSettings]:
    """The settings that flags stand for: one, or with "all" one for each level or scale.

    Args:
      noise_sigma, scale: a number, or "all" for those of the paper (`ALL`).
      **others: fields of `EvaluationSettings`.

    Raises:
      NLRNError: a value is not possible, or two contradict each other.
    """
    given = {"noise_sigma": noise_sigma, "scale": scale}
    every = [name for name, value in given.items() if value == "all"]
    if not every:
        return [EvaluationSettings(**_numbers(given), **others)]
    name = every[0]
    fixed = {**given, name: None}
    return [EvaluationSettings(**{**_numbers(fixed), name: value}, **others) for value in ALL[name]]


def _numbers(given: dict[str, str | None]) -> dict[str, float | None]:
    kinds = {"noise_sigma": (float, "a number"), "scale": (int, "a whole number")}
    numbers: dict[str, float | None] = {}
    for name, text in given.items():
        kind, description = kinds[name]
        try:
            numbers[name] = None if text is None else kind(text)
        except ValueError as error:
            raise NLRNError(
                f"{name}={text} is not possible: must be {description}, or all"
            ) from error
    return numbers


def _flag(name: str, value: object) -> str:
    if value is True:
        return f"--{name}"
    return f"--{name}={','.join(value) if isinstance(value, tuple) else value}"
