"""What a run begins with: new weights, given ones, or those of a run before it."""

import dataclasses
from pathlib import Path

import keras

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.training.checkpoint import Checkpoint
from nlrn_tf.training.settings import WIDER, Phase, TrainingConfig, may_widen
from nlrn_tf.training.step import first_state
from nlrn_tf.weights.loading import load_model

# Settings that may change when a run goes on; the others say what is being trained.
RESUMABLE = {
    *("steps", "max_minutes", "learning_rate", "lr_schedule", "lr_halvings", "phase_ends"),
    *("filters", "embedding_size", "num_states", "patch_size", "batch_size", "accumulate"),
    *("precision", "unroll"),
    *("max_skipped", "validation_minutes", "validation_steps", "checkpoint_minutes"),
    *("checkpoint_steps", "keep_checkpoints", "log_seconds", "clip_norm"),
}

# What may grow from phase to phase.
GROWING = ("filters", "embedding_size", "num_states")

# What has no flag: training is that of the paper's network.
_FIXED_IN_TRAINING = ("correlation_propagation", "similarity", "tied_weights")


def fresh_run(config: TrainingConfig, init_weights: str | None) -> Checkpoint:
    """The run before its first step."""
    network = network_config(config, config.phases()[0])
    if init_weights is None:
        keras.utils.set_random_seed(config.seed)
        model = NLRN(network)
    else:
        model = load_model(init_weights)
        _require_a_start(model.config, network, init_weights)
    sizes = {name: getattr(model.config, name) for name in GROWING}
    return Checkpoint(first_state(model, config), **sizes)


def network_config(
    config: TrainingConfig, sizes: Phase | Checkpoint, unroll: bool = False
) -> NLRNConfig:
    """The network of a phase, or of a run as it is now."""
    denoise = config.task == "denoise"
    return NLRNConfig(
        filters=sizes.filters,
        embedding_size=sizes.embedding_size,
        window_size=config.window_size,
        non_local_every=config.non_local_every,
        num_states=sizes.num_states,
        unroll=unroll,
        task=config.task,
        noise_sigma=config.noise_sigma if denoise else None,
        scales=() if denoise else config.scales,
    )


def _require_a_start(found: NLRNConfig, trained: NLRNConfig, path: str) -> None:
    """Refuses weights of a network that training cannot make that of its first phase."""
    for name in _FIXED_IN_TRAINING:
        if getattr(found, name) != getattr(trained, name):
            raise NLRNError(
                f"{path}: has {name}={getattr(found, name)}, but {getattr(trained, name)} is to be "
                "trained; give other --init_weights"
            )
    _require_width(found, trained, path)


def _require_width(
    found: NLRNConfig | Checkpoint, wanted: NLRNConfig | Phase, path: str | Path
) -> None:
    """Refuses a network that cannot grow to the width of another."""
    if not may_widen(found, wanted):
        raise NLRNError(
            f"{path}: has {found.filters} filters and an embedding size of {found.embedding_size}; "
            f"give --filters and --embedding_size {WIDER}, not {wanted.filters} and "
            f"{wanted.embedding_size}"
        )


def require_same_run(run: Checkpoint, config: TrainingConfig, workdir: Path) -> None:
    """Refuses to go on with a run that trains something else."""
    for field in dataclasses.fields(TrainingConfig):
        if field.name in RESUMABLE or field.name not in run.config:
            continue
        now, then = getattr(config, field.name), run.config[field.name]
        if (list(now) if isinstance(now, tuple) else now) != then:
            raise NLRNError(
                f"{workdir}: holds a run with --{field.name}={then}, not {now}; "
                "give another --workdir or the same flags"
            )
    for phase in config.phases():
        if phase.filters > run.filters:
            _require_width(run, phase, workdir)
