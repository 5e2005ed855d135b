"""How far a run has come, and what follows from it: the learning rate and the phase."""

import math
import time

from nlrn_tf.training.settings import Phase, TrainingConfig


class Clock:
    """Counts the steps and minutes of a run over all its interruptions."""

    def __init__(self, config: TrainingConfig, step: int = 0, minutes: float = 0.0):
        self._config = config
        self.step = step
        self._minutes_before = minutes
        self._start = time.monotonic()
        self._held: float | None = None

    @property
    def minutes(self) -> float:
        return self.elapsed if self._held is None else self._held

    @property
    def elapsed(self) -> float:
        """The minutes by the clock of this machine."""
        return self._minutes_before + (time.monotonic() - self._start) / 60

    def hold(self, minutes: float) -> None:
        """Makes `minutes` what the workers of a run have agreed on, until the next call."""
        self._held = minutes

    @property
    def progress(self) -> float:
        """0 to 1 by steps or by minutes, whichever has come further."""
        done = self.step / self._config.steps
        if self._config.max_minutes is not None:
            done = max(done, self.minutes / self._config.max_minutes)
        return min(done, 1.0)


def learning_rate(config: TrainingConfig, progress: float) -> float:
    """The learning rate at `progress`.

    "halving": halved `lr_halvings` times at equal intervals (the paper: five times).
    "cosine": from the full rate to 0 by half a cosine.
    """
    if config.lr_schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    halvings = min(int(progress * (config.lr_halvings + 1)), config.lr_halvings)
    return config.learning_rate * 0.5**halvings


def phase_at(config: TrainingConfig, progress: float) -> Phase:
    """The phase that a step taken at `progress` belongs to."""
    phases = config.phases()
    return next((phase for phase in phases if progress < phase.end), phases[-1])
