"""What a run begins with: new weights, given ones, or those of a run before it."""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.storage.reading import reading
from nlrn_tf.training.checkpoint import (
    PROBLEM,
    REMEDY,
    Checkpoint,
    checkpoint_path,
    latest_checkpoint,
)
from nlrn_tf.training.settings import (
    GROWING,
    WIDER,
    Phase,
    TrainingConfig,
    changeable,
    may_widen,
)
from nlrn_tf.training.state import FIRST_LOSS_SCALE, check_state, first_state, is_numbered, named
from nlrn_tf.weights.levels import at_level
from nlrn_tf.weights.loading import load_model
from nlrn_tf.weights.manifest import training_sources

# Fields of the network that the shapes and the meaning of the weights depend on.
_FIXED_BY_WEIGHTS = (
    *("similarity", "tied_weights", "correlation_propagation", "non_local_every"),
    "upsample",
)


def fresh_run(config: TrainingConfig, init_weights: str | None) -> Checkpoint:
    """The run before its first step."""
    network = network_config(config, config.phases()[0])
    if init_weights is None:
        keras.utils.set_random_seed(config.seed)
        model = NLRN(network)
        if config.initializer == "xavier":
            _initialize_by_xavier(model, config.seed)
    else:
        model = load_model(init_weights)
        _require_a_start(model.config, network, init_weights)
        model = _at_level_of(network, model)
    sizes = {name: getattr(model.config, name) for name in GROWING}
    seen = () if init_weights is None else training_sources(init_weights, model.config)
    return Checkpoint(first_state(model, config), **sizes, trained_on=list(seen))


def resumed_run(config: TrainingConfig, workdir: Path) -> Checkpoint | None:
    """The run in a work folder as it was last saved, None when there is none.

    Raises:
      NLRNError: it trains something else, or its checkpoint is damaged.
    """
    run = latest_checkpoint(workdir / "checkpoints")
    if run is None:
        return None
    _require_same_run(run, config, workdir)
    with reading(checkpoint_path(workdir / "checkpoints", run.step), PROBLEM, REMEDY):
        check_state(run.state, network_config(config, run), config.ema_decay > 0)
    if run.config.get("validation_crop", config.validation_crop) != config.validation_crop:
        run.best, run.curve, run.weights_step = None, [], -1  # other images, other scores
    for phase in config.phases():
        if phase.filters > run.filters:
            _require_width(run, phase, workdir)
    if is_numbered(run.state):
        run.state = named(run.state, NLRN(network_config(config, run)))
    if config.precision == "float16" and run.config.get("precision") != "float16":
        run.state["counters"]["loss_scale"] = FIRST_LOSS_SCALE
    return run


def network_config(
    config: TrainingConfig, sizes: Phase | Checkpoint, unroll: bool = False
) -> NLRNConfig:
    """The network of a phase, or of a run as it is now."""
    grown = {name: getattr(sizes, name) for name in GROWING}
    before = getattr(sizes, "trained_on", ())
    seen = tuple(dict.fromkeys((*before, *config.sources)))
    return dataclasses.replace(config.network, **grown, unroll=unroll, trained_on=seen)


def _at_level_of(trained: NLRNConfig, model: NLRN) -> NLRN:
    """A denoiser for the level that is to be trained, where it is for another."""
    level, known = trained.noise_sigma, model.config.noise_sigma
    return model if level is None or known in (None, level) else at_level(model, level)


def _initialize_by_xavier(model: NLRN, seed: int) -> None:
    """Draws the kernels by Glorot and Bengio (2010), uniform; g stays zero."""
    for number, variable in enumerate(model.trainable_variables):
        if variable.name != "kernel" or "/g/" in variable.path:
            continue
        shape = tuple(variable.shape)
        limit = np.sqrt(6 / (np.prod(shape[-4:-2]) * (shape[-2] + shape[-1])))
        draws = np.random.default_rng([seed, number]).uniform(-limit, limit, shape)
        variable.assign(draws.astype("float32"))


def _require_a_start(found: NLRNConfig, trained: NLRNConfig, path: str) -> None:
    """Refuses weights of a network that training cannot make that of its first phase."""
    # Of a network that enlarges, each scale has weights.
    fixed = (*_FIXED_BY_WEIGHTS, *(["scales"] if trained.own_scales else []))
    for name in fixed:
        wanted, there = getattr(trained, name), getattr(found, name)
        # The module may look around in other states than before, but not appear; weights that all
        # states share may be given to each, but not be brought together.
        if name == "non_local_every":
            is_start = bool(wanted) == bool(there)
        else:
            is_start = wanted == there or (name == "tied_weights" and there)
        if not is_start:
            raise NLRNError(
                f"{path}: has {name}={there}, but {wanted} is to be trained; give other "
                f"init_weights, or {name}={there}"
            )
    _require_width(found, trained, path)


def _require_width(
    found: NLRNConfig | Checkpoint, wanted: NLRNConfig | Phase, path: str | Path
) -> None:
    """Refuses a network that cannot grow to the width of another."""
    if not may_widen(found, wanted):
        raise NLRNError(
            f"{path}: has {found.filters} filters and an embedding size of {found.embedding_size}; "
            f"give for filters and embedding_size {WIDER}, not {wanted.filters} and "
            f"{wanted.embedding_size}"
        )


def _require_same_run(run: Checkpoint, config: TrainingConfig, workdir: Path) -> None:
    """Refuses to go on with a run that trains something else."""
    may_change = changeable()
    for name, now in config.flat().items():
        # A run of an earlier version lacks the settings that were added since.
        if name in may_change or name not in run.config:
            continue
        then = run.config[name]
        if now != then:
            raise NLRNError(
                f"{workdir}: holds a run with {name}={then}, not {now}; give another workdir or "
                "the same settings"
            )
