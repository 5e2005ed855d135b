"""What a run reports: a live progress line, `curve.csv` and TensorBoard."""

import contextlib
import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from nlrn_tf.errors import printable
from nlrn_tf.files import write_text, writing_by_tensorflow
from nlrn_tf.progress import TimeLeft, shown
from nlrn_tf.training.curve import COLUMNS
from nlrn_tf.training.schedule import Clock
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.validation import Sample


class Journal:
    """Collects the metrics of the steps and shows their means every `log_seconds`.

    On a terminal the progress line is redrawn in place, elsewhere a line is printed.

    Args:
      workdir: folder of `curve.csv` and `tensorboard/`.
      config, clock: of the run.
      curve: rows written before the run was interrupted.
    """

    def __init__(self, workdir: Path, config: TrainingConfig, clock: Clock, curve: list[dict]):
        self.curve = curve
        self._path = workdir / "curve.csv"
        self._config = config
        self._clock = clock
        self._tensorboard = workdir / "tensorboard"
        with writing_by_tensorflow(self._tensorboard):
            self._writer = tf.summary.create_file_writer(str(self._tensorboard))
        self._pending: list[dict] = []
        self._since = (time.monotonic(), clock.step)
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), console=self._console, transient=True
        )
        self._task = self._bar.add_task("training", total=1.0)

    def __enter__(self):
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_):
        if self._console.is_terminal:
            self._bar.stop()
        with writing_by_tensorflow(self._tensorboard):
            self._writer.close()

    def step(self, metrics: dict, learning_rate: float, skipped: int) -> None:
        """Takes the metrics of one step, floats; shows the means when they are due."""
        self._pending.append(metrics)
        if time.monotonic() - self._since[0] < self._config.log_seconds:
            return
        means = self._means()
        now = (time.monotonic(), self._clock.step)
        rate = (now[1] - self._since[1]) / (now[0] - self._since[0])
        self._since, self._pending = now, []
        line = (
            f"step {self._clock.step}  loss {means['loss']:.2f}  {means['train_psnr']:.2f} dB  "
            f"|g| {means['gradient_norm']:.3g}  lr {learning_rate:.2g}  {rate:.2f} steps/s  "
            f"{self._time_left(rate)} left" + (f"  {skipped} skipped" if skipped else "")
        )
        if self._console.is_terminal:
            self._bar.update(self._task, description=line, completed=self._clock.progress)
        else:
            self.say(line)
        scalars = {**means, "learning_rate": learning_rate, "steps_per_second": rate}
        self._write_scalars({**scalars, "skipped": skipped})

    def validating(self, sizes: Sequence[int]) -> Callable[[float], None]:
        """Begins a validation, whose time does not count as that of the steps.

        Args:
          sizes: pixels of its images.

        Returns:
          What shows the number of images that are done.
        """
        left = TimeLeft(sizes)
        began = time.monotonic()
        since, step = self._since

        def show(completed: float) -> None:
            self._since = (since + time.monotonic() - began, step)
            left.update(completed)
            description = (
                f"step {self._clock.step}  validating: {completed:.0f} of {len(sizes)} images, "
                f"{shown(left.seconds())} left"
            )
            self._bar.update(self._task, description=description)

        return show

    def validation(self, val_psnr: float, learning_rate: float, num_states: int) -> None:
        """Adds a row to the curve."""
        means = self._means() if self._pending else {"loss": math.nan, "train_psnr": math.nan}
        row = {
            "step": self._clock.step,
            "minutes": round(self._clock.minutes, 3),
            "num_states": num_states,
            "learning_rate": round(learning_rate, 9),
            "loss": round(means["loss"], 4),
            "train_psnr": round(means["train_psnr"], 4),
            "val_psnr": round(val_psnr, 4),
        }
        self.curve.append(row)
        text = io.StringIO()
        rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        rows.writeheader()
        rows.writerows(self.curve)
        write_text(self._path, text.getvalue())
        self._write_scalars({"val_psnr": val_psnr, "num_states": num_states})
        self.say(f"step {self._clock.step}  validation {val_psnr:.3f} dB")

    def images(self, samples: list[Sample], restored: list[np.ndarray]) -> None:
        """Shows degraded, restored and clean of the first samples in TensorBoard."""
        with (
            writing_by_tensorflow(self._tensorboard),
            self._writer.as_default(step=self._clock.step),
        ):
            for sample, image in list(zip(samples, restored, strict=True))[:4]:
                row = [np.clip(sample.before, 0, 1), image / 255, sample.clean / 255]
                strip = np.concatenate(row, axis=1)[None, ..., None]
                tf.summary.image(sample.name, strip.astype(np.float32))

    def say(self, message: str) -> None:
        """Prints a line, above the progress line where there is one."""
        self._console.print(printable(message), markup=False, highlight=False, soft_wrap=True)

    def _means(self) -> dict[str, float]:
        names = ("loss", "mse", "gradient_norm")
        finite = [metrics for metrics in self._pending if metrics["finite"]] or self._pending
        means = {name: float(np.mean([m[name] for m in finite])) for name in names}
        psnr = -10 * math.log10(means["mse"]) if means["mse"] > 0 else math.nan
        return {
            "loss": means["loss"],
            "train_psnr": psnr,
            "gradient_norm": means["gradient_norm"],
        }

    def _time_left(self, rate: float) -> str:
        seconds = (self._config.steps - self._clock.step) / rate if rate else math.inf
        if self._config.max_minutes is not None:
            seconds = min(seconds, 60 * (self._config.max_minutes - self._clock.minutes))
        if math.isinf(seconds):
            return "?"
        minutes = max(0, round(seconds / 60))
        return f"{minutes // 60}:{minutes % 60:02d} h"

    def _write_scalars(self, scalars: dict[str, float]) -> None:
        with self._summaries():
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
            self._writer.flush()

    @contextlib.contextmanager
    def _summaries(self) -> Iterator[None]:
        """The writer of TensorBoard for the present step."""
        step = self._clock.step
        with writing_by_tensorflow(self._tensorboard), self._writer.as_default(step=step):
            yield


class Silence(Journal):
    """The journal of a worker that is not the chief, and has nothing to validate."""

    def __init__(self):
        self.curve = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def step(self, metrics: dict, learning_rate: float, skipped: int) -> None:
        """Keeps nothing."""

    def say(self, message: str) -> None:
        """Prints nothing."""
