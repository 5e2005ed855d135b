"""What a network is for: all that differs between the degradations that it undoes.

A task has at most one setting, a number that says how strong the degradation is (`noise_sigma`,
`scale`), and options that are on or off (`quantize_lr`). Both have the names of the flags and of
the fields of the settings classes. Where a method takes `**degradation` these are the values of an
evaluation by name, such as `noise_sigma=25.0`.

`H, W` pixels, `P` side of a training patch.
"""

import abc
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from nlrn_tf.errors import NLRNError


class Task(abc.ABC):
    """A degradation, and how it is undone, evaluated and described.

    Attributes:
      name: on the command line, in files of weights and of scores.
      title: heading of tables of results.
      channel: what of an image is stored for training, a key of `imaging.colour.CHANNELS`.
      enlarges: whether the output is larger than the image that a user brings.
      setting: name of the setting; None when there is none.
      setting_type: its type.
      setting_title: heading of its column.
      setting_range: its lowest and highest value in an evaluation; 0 itself is not allowed.
      default_setting, published_settings: its value when none is given, and those of the paper.
      options: names of the options.
      input_name: what the degraded image is called beside the restored one.
      input_methods: methods of an evaluation that score the degraded image as it is.
      scores_colour: whether `colour_pair` is there.
      pair_folders: sub-folders of clean and degraded images in a folder of people's own.
      paper_table: number of the paper's table that our results stand beside.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    channel: ClassVar[str]
    enlarges: ClassVar[bool] = False
    setting: ClassVar[str | None] = None
    setting_type: ClassVar[type] = float
    setting_title: ClassVar[str] = ""
    setting_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    default_setting: ClassVar[float | None] = None
    published_settings: ClassVar[tuple[float, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    input_name: ClassVar[str] = "degraded"
    input_methods: ClassVar[tuple[str, ...]] = ("identity",)
    scores_colour: ClassVar[bool] = False
    pair_folders: ClassVar[tuple[str, str]] = ("clean", "degraded")
    paper_table: ClassVar[int | None] = None

    @abc.abstractmethod
    def pair(
        self, path: str | os.PathLike, index: int, **degradation
    ) -> tuple[np.ndarray, np.ndarray]:
        """A true image and its degraded version, by the protocol of the evaluation.

        Args:
          path: of an image file.
          index: its position in the sorted list of the set's files.

        Returns:
          uint8 `[H, W]`, and float32 in [0, 1] plus what the degradation adds: `[H, W]`, or smaller
          for a task that enlarges.

        Raises:
          NLRNError: the image cannot be read, or a setting is out of its range.
        """

    def colour_pair(
        self, path: str | os.PathLike, index: int, **degradation
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same as `pair` in colour: uint8 and float32 RGB `[H, W, 3]`.

        Raises:
          NLRNError: as for `pair`, or the task is evaluated on grey images only.
        """
        raise NLRNError(f"task={self.name}: is scored on grey images or on Y, not in colour")

    def input_image(self, degraded: np.ndarray, **degradation) -> np.ndarray:
        """A degraded image at the size of the true one; scored beside the restored one."""
        return degraded

    def given_pair(
        self,
        path: str | os.PathLike,
        degraded: str | os.PathLike,
        *,
        in_colour: bool,
        **degradation,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same as `pair` or `colour_pair` of a degraded image that is a file of its own.

        Args:
          path: of the true image.
          degraded: of the degraded one.
          in_colour: whether RGB is wanted.

        Raises:
          NLRNError: as for `pair`, or the images do not fit together.
        """
        raise NLRNError(f"task={self.name}: has no pairs of files")

    def setting_of(self, pairs: Mapping[Path, Path]) -> float | None:
        """The setting that pairs of a true and a degraded file have; None for that by default.

        Raises:
          NLRNError: they do not fit together.
        """
        return None

    @abc.abstractmethod
    def example(self, take: Callable, draws, noise_seed, config):
        """A training example, inside a `tf.data` graph.

        Args:
          take: `take(size, top=0, left=0, side=P)` cuts a random region out of the training image,
            float32 `[size, size, 1]` in [0, 1], in which a patch of a side begins at (top, left).
          draws: `data.crops.Draws`, for other random choices.
          noise_seed: int64 `[2]`, for `tf.random.stateless_*`.
          config: `data.pipeline.PipelineConfig`.

        Returns:
          (degraded, clean), each float32 `[P, P, 1]`; clean in [0, 1], degraded not clipped. What
          a network gives in training has the channels of clean, whose values that are not known
          are NaN.
        """

    @abc.abstractmethod
    def short(self, **degradation) -> str:
        """The settings in a cell of a table, such as "25"."""

    @abc.abstractmethod
    def protocol_note(self, **degradation) -> str:
        """What the scores depend on, in one sentence."""

    @abc.abstractmethod
    def purpose(self, config) -> str:
        """What weights are for, such as "noise of sigma 25"; `config` is their `NLRNConfig`."""

    @abc.abstractmethod
    def default_weights(self, **degradation) -> str:
        """The packaged weights for a setting; without one those that a user gets by default."""

    def describe(self, **degradation) -> str:
        """The settings in a title, such as "sigma 25"."""
        return f"{self.setting_title} {self.short(**degradation)}".strip()

    def label(self, setting: float | None) -> str:
        """A setting in the name of a folder, such as "s25"; empty without one."""
        return ""

    def border(self, **degradation) -> int:
        """Pixels at each edge that scores leave out."""
        return 0

    def network(self, config) -> dict:
        """The fields of `NLRNConfig` that say what a network trained with `config` is for.

        Args:
          config: `training.settings.TrainingConfig`.
        """
        return {}

    def variants(self, config) -> list[dict]:
        """The degradations that validation during training scores, one `**degradation` each."""
        return [{}]

    def check(self, config) -> None:
        """Checks the settings of a training run or of its data.

        Raises:
          NLRNError: the message begins with the name of the setting.
        """
        return None

    def check_weights(self, config, weights: str, **degradation) -> str | None:
        """Checks that weights for this task are for a setting.

        Args:
          config: `NLRNConfig` of the weights.
          weights: their name or path, for the message.

        Returns:
          A warning when they are for another setting but usable, else None.

        Raises:
          NLRNError: they are not usable for the setting.
        """
        return None

    def restoring(self, config, **degradation) -> dict:
        """The options of `restoration.restorer.Restorer` for a degradation.

        Args:
          config: `NLRNConfig` of the weights, None where they do not tell.
        """
        return {}

    def checked_scale(self, scales: Sequence[int], scale: float | None) -> float | None:
        """The factor to enlarge by, None for a task that does not.

        Args:
          scales: factors that the network was trained for.
          scale: what the user wants; None is the first factor of the network.

        Raises:
          NLRNError: `scale` does not fit the task or the network.
        """
        if scale is not None:
            raise NLRNError(
                f"scale {scale:g}: the weights are for {self.title.lower()}; leave it out, or "
                "choose weights for super-resolution"
            )
        return None
