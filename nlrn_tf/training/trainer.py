"""The training loop: data, steps, growth, validation, checkpoints, resuming.

Read next: `start.py` (what a run begins with), `step.py` (one step), `schedule.py` and
`settings.py` (what is done when), `checkpoint.py` (what is kept).

A work folder holds

    flags.cfg            the flags of the run
    history.json         its starts: commands, commits, machines
    records/             the TFRecords, unless they are kept elsewhere
    checkpoints/         everything needed to go on
    curve.csv            one row for each validation
    tensorboard/         scalars and images
    weights.keras        the network at the last validation (the averages, with EMA)
    best.keras           the network at the best validation
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import keras

from nlrn_tf import backend
from nlrn_tf.data.pipeline import PipelineConfig, make_dataset
from nlrn_tf.data.record_reading import reading
from nlrn_tf.data.records import ensure_records
from nlrn_tf.errors import NLRNError, NotFiniteError
from nlrn_tf.files import require_text
from nlrn_tf.model import NLRN
from nlrn_tf.precision import POLICIES, resolved
from nlrn_tf.storage.locks import lock_folder
from nlrn_tf.storage.temporary import remove_abandoned
from nlrn_tf.tasks.registry import task_named
from nlrn_tf.training.checkpoint import save_checkpoint
from nlrn_tf.training.distribution import Distribution, distribution
from nlrn_tf.training.growth import grow_state
from nlrn_tf.training.journal import Journal, Silence
from nlrn_tf.training.schedule import Clock, learning_rate, phase_at
from nlrn_tf.training.settings import GROWING, Phase, TrainingConfig
from nlrn_tf.training.signals import catch_signals
from nlrn_tf.training.start import fresh_run, network_config, resumed_run
from nlrn_tf.training.state import to_numpy, variables_of, weights
from nlrn_tf.training.step import TrainingStep
from nlrn_tf.training.validation import validate, validation_samples
from nlrn_tf.weights.loading import save_model

# Of the first statistics the moving ones then still have 0.99^500, less than 1 %.
SETTLED_UPDATES = 500


def train(
    config: TrainingConfig,
    *,
    workdir: str | os.PathLike,
    data_dir: str | os.PathLike,
    records_dir: str | os.PathLike | None = None,
    init_weights: str | None = None,
    on_start: Callable[[], None] = lambda: None,
) -> Path:
    """Trains a network, or goes on with the run in `workdir`.

    Resumed training equals uninterrupted training. Ctrl-C and SIGTERM save a checkpoint first. The
    work folder is locked meanwhile. With `distribute=multi_worker` each worker calls this; they
    share the work folder, which the chief alone writes.

    Args:
      config: the settings.
      workdir: where the run keeps its files (see the head of this module).
      data_dir: the data sets, one folder each.
      records_dir: TFRecords, made when missing; default `workdir/records`.
      init_weights: packaged name or `.keras` file to start from instead of random weights. A
        narrower network is widened, a denoiser for another level scaled to that of the training.
      on_start: called when the settings and the data have been found to be right.

    Returns:
      The path of `weights.keras`.

    Raises:
      NLRNError: a setting is wrong, data is missing or damaged, the disk is full, another process
        trains in `workdir` or makes records in `records_dir`, `max_skipped` steps in a row had a
        gradient that was not finite, the replicas cannot share the batches, or another worker is
        lost.
      KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint written.
    """
    config = dataclasses.replace(config, precision=resolved(config.precision))
    workdir = require_text(workdir)
    records_dir = require_text(records_dir or workdir / "records")
    replicas = distribution(config)
    with replicas.watching_others(), _only_chief(replicas, lock_folder(workdir)):
        if replicas.is_chief:
            for folder in (workdir, workdir / "checkpoints"):
                remove_abandoned(folder)
        channel = task_named(config.task).channel
        with replicas.chief_first():
            records = ensure_records(records_dir, data_dir, sources=config.sources, channel=channel)
        samples = validation_samples(config, data_dir) if replicas.is_chief else []
        with catch_signals() as signals:
            trainer = _Trainer(config, workdir, records, samples, signals, init_weights, replicas)
            if replicas.is_chief:
                on_start()
            with trainer.journal:
                trainer.run()
    return workdir / "weights.keras"


class _Trainer:
    """The state of a run between its steps."""

    def __init__(self, config, workdir, records, samples, signals, init_weights, replicas):
        self._config = config
        self._workdir = workdir
        self._records = records
        self._samples = samples
        self._signals = signals
        self._replicas = replicas
        found = resumed_run(config, workdir)
        self._run = found or fresh_run(config, init_weights)
        replicas.require_same(config, self._run)
        self._clock = Clock(config, self._run.step, self._run.minutes)
        self.journal = (
            Journal(workdir, config, self._clock, self._run.curve)
            if replicas.is_chief
            else Silence()
        )
        self._saved_at = self._validated_at = self._clock.minutes
        self._in_a_row = 0
        self._phase = None
        self._evaluated = None
        if found:
            self.journal.say(f"resumed at step {found.step}, {found.minutes:.1f} minutes")

    def run(self) -> None:
        """Trains to the end."""
        stopping = self._agree()
        while self._clock.progress < 1 and not stopping:
            phase = phase_at(self._config, self._clock.progress)
            if phase != self._phase:
                self._enter(phase)
            self._step()
            if self._replicas.is_chief:
                self._save_and_validate_when_due()
            stopping = self._agree()
        if self._replicas.is_chief:
            self._finish(stopping)
        self._agree()  # nobody leaves before the chief has written
        if stopping:
            raise KeyboardInterrupt

    def _agree(self) -> bool:
        """Whether any worker is to stop; all take the time of the chief, by which they decide."""
        if self._replicas.workers == 1:
            return bool(self._signals)
        told = self._replicas.gathered(self._clock.elapsed, len(self._signals))
        self._clock.hold(told[0, 0])
        return bool(told[:, 1].any())

    def _finish(self, stopping: bool) -> None:
        if stopping:
            self._save()
            self.journal.say(f"stopped at step {self._clock.step}; run again to go on")
        elif not self._weights_are_current():
            self._save_weights()
            self._save()

    def _weights_are_current(self) -> bool:
        """Whether `weights.keras` is that of this step."""
        weights = self._workdir / "weights.keras"
        return self._run.weights_step == self._clock.step and weights.exists()

    def _enter(self, phase: Phase) -> None:
        """Makes the network and the data of a phase; the network grows if it must."""
        config = self._config
        # A checkpoint may be of a larger network than the phase, when the settings were changed.
        for name in GROWING:
            setattr(self._run, name, max(getattr(phase, name), getattr(self._run, name)))
        model = NLRN(
            network_config(config, self._run, config.network.unroll or self._replicas.unrolls),
            dtype=POLICIES[config.precision],
        )
        if phase.frozen:
            model.freeze_norms()
        self._run.state = grow_state(self._run.state, model, config.seed)
        self._train_step = TrainingStep(model, config, self._replicas.compiled)
        self._phase = phase
        dataset = make_dataset(
            self._records.directory,
            PipelineConfig(
                task=config.task,
                batch_size=phase.batch_size,
                patch_size=phase.patch_size,
                noise_sigma=config.noise_sigma,
                noise_levels=config.noise_levels,
                scales=config.scales,
                upsample=config.network.upsample,
                seed=config.seed,
                exclude=config.validation_images,
                scale_augmentation=config.scale_augmentation,
            ),
            first_example=self._run.examples,
            share=(self._replicas.worker, self._replicas.workers),
        )
        self._batches = backend.batches_of(dataset)
        self.journal.say(
            f"{self._run.num_states} states of {self._run.filters} channels, batches of "
            f"{phase.batch_size * config.accumulate} patches of "
            f"{phase.patch_size}x{phase.patch_size}, {config.precision}"
            f"{', statistics of batch norms frozen' * phase.frozen}"
        )

    def _step(self) -> None:
        rate = learning_rate(self._config, self._clock.progress)
        with reading(self._records):
            parts = [next(self._batches) for _ in range(self._config.accumulate)]
        self._run.state, metrics = self._train_step(self._run.state, parts, rate)
        metrics = {name: float(value) for name, value in metrics.items()}
        self._clock.step += 1
        self._run.examples += self._phase.batch_size * self._config.accumulate
        self._in_a_row = 0 if metrics["finite"] else self._in_a_row + 1
        self._run.skipped += not metrics["finite"]
        if self._in_a_row >= self._config.max_skipped:
            raise NLRNError(
                f"{self._workdir}: stopped at step {self._clock.step}, the gradient was not finite "
                f"in {self._in_a_row} steps in a row; go on from the last checkpoint with a lower "
                "learning rate or with precision=float32"
            )
        self.journal.step(metrics, rate, self._run.skipped)

    def _save_and_validate_when_due(self) -> None:
        config, step, minutes = self._config, self._clock.step, self._clock.minutes
        if _is_due(
            step, config.validation_steps, minutes - self._validated_at, config.validation_minutes
        ):
            self._save_weights()
            self._save()
        elif _is_due(
            step, config.checkpoint_steps, minutes - self._saved_at, config.checkpoint_minutes
        ):
            self._save()

    def _save(self) -> None:
        """Writes a checkpoint."""
        self._run.step, self._run.minutes = self._clock.step, self._clock.minutes
        self._run.curve = self.journal.curve
        self._run.config = self._config.flat()
        self._run.state = to_numpy(self._run.state)
        save_checkpoint(self._workdir / "checkpoints", self._run, self._config.keep_checkpoints)
        self._saved_at = self._clock.minutes

    def _save_weights(self) -> None:
        """Writes the network as it is now, and validates it where there are images to do so."""
        model = self._current_network()
        if self._samples:
            self._validate(model)
        save_model(model, self._workdir / "weights.keras")
        self._run.weights_step = self._clock.step
        self._validated_at = self._clock.minutes

    def _validate(self, model: NLRN) -> None:
        show = self.journal.validating([sample.clean.size for sample in self._samples])
        try:
            score, restored = validate(model, self._samples, show)
        except NotFiniteError:
            if self._run.state["counters"]["updates"] >= SETTLED_UPDATES:
                raise
            self.journal.say(
                f"step {self._clock.step}  no validation yet: without softmax the network is not "
                "finite before the moving statistics of its batch norms have settled"
            )
            return
        rate = learning_rate(self._config, self._clock.progress)
        self.journal.validation(score, rate, self._run.num_states)
        self.journal.images(self._samples, restored)
        if self._run.best is None or score > self._run.best:
            self._run.best = score
            save_model(model, self._workdir / "best.keras")

    def _current_network(self) -> NLRN:
        """A network with the present weights, or their averages where there are any.

        In the precision of the training, except float16, in which moving statistics that are not
        settled yet overflow.
        """
        model_config = network_config(self._config, self._run, unroll=True)
        if self._evaluated is None or self._evaluated.config != model_config:
            precision = "float32" if self._config.precision == "float16" else self._config.precision
            self._evaluated = NLRN(model_config, dtype=POLICIES[precision])
        values = weights(self._run.state)
        for name, variable in variables_of(self._evaluated)["ema"].items():
            variable.assign(keras.ops.convert_to_numpy(values[name]))
        return self._evaluated


def _is_due(step: int, every_steps: int, minutes: float, every_minutes: float) -> bool:
    by_steps = every_steps > 0 and step % every_steps == 0
    return by_steps or minutes >= every_minutes


def _only_chief(replicas: Distribution, context: contextlib.AbstractContextManager):
    return context if replicas.is_chief else contextlib.nullcontext()
