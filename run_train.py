"""Trains an NLRN; the same command again goes on where it stopped.

python run_train.py --flagfile=flags/denoise_s25.cfg --data_dir=data --workdir=runs/denoise_s25
"""

import sys
from dataclasses import Field, fields

from absl import flags

from nlrn_tf import cli
from nlrn_tf.errors import NLRNError
from nlrn_tf.precision import POLICIES
from nlrn_tf.training.settings import TrainingConfig

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Data sets, one folder each ($NLRN_DATA_DIR, else data/).")
flags.DEFINE_string("workdir", None, "Folder of the run (runs/<task and level>).")
flags.DEFINE_string("records_dir", None, "Folder of the TFRecords (<workdir>/records).")
flags.DEFINE_string(
    "init_weights",
    None,
    "Packaged name or .keras file to start from; a narrower network is widened (empty: random).",
)
flags.DEFINE_enum("task", "denoise", ["denoise", "sr"], "What to train for.")
flags.DEFINE_float("noise_sigma", 25.0, "Noise level for denoising, in 8-bit grey levels.")
flags.DEFINE_list("scales", ["2", "3", "4"], "Factors for super-resolution, mixed in one model.")
flags.DEFINE_list("sources", ["BSDS500/train", "BSDS500/test"], "Image folders below --data_dir.")
flags.DEFINE_list("scale_augmentation", ["1"], "Factors by which training images are shrunk.")
flags.DEFINE_list("filters", ["128"], "Channels of the state; one number a phase or for all.")
flags.DEFINE_list("embedding_size", ["64"], "Channels of the embeddings theta and phi, likewise.")
flags.DEFINE_integer("window_size", 45, "Neighbourhood of the attention, in pixels.")
flags.DEFINE_integer(
    "non_local_every", 1, "States from one with the non-local module to the next (0: none has it)."
)
flags.DEFINE_list("num_states", ["12"], "Recurrent states; one number for each phase or for all.")
flags.DEFINE_list("patch_size", ["45"], "Side of the patches; one number a phase or for all.")
flags.DEFINE_list("batch_size", ["16"], "Patches in a batch; one number a phase or for all.")
flags.DEFINE_list("phase_ends", [], "Progress (0 to 1) at which each phase but the last ends.")
flags.DEFINE_bool("unroll", False, "Unrolls the recurrence: the same result from a larger graph.")
flags.DEFINE_integer("accumulate", 1, "Batches that one step sums the gradient of.")
flags.DEFINE_integer("steps", 500_000, "Steps to train.")
flags.DEFINE_float("max_minutes", None, "Ends, and completes the schedule, after so many minutes.")
flags.DEFINE_float("learning_rate", 1e-3, "Of Adam, at the start.")
flags.DEFINE_enum("lr_schedule", "halving", ["halving", "cosine"], "How the learning rate falls.")
flags.DEFINE_integer("lr_halvings", 5, "Halvings of the learning rate, at equal intervals.")
flags.DEFINE_float("clip_norm", 0.5, "Global norm at which the gradient is clipped.")
flags.DEFINE_float("ema_decay", 0.0, "Decay of the average of the weights (0: no average).")
flags.DEFINE_enum("precision", "float32", list(POLICIES), "Of the arithmetic.")
flags.DEFINE_integer(
    "max_skipped", 20, "Stops after so many steps in a row with no finite gradient."
)
flags.DEFINE_integer("seed", 0, "Of the weights, crops and noise.")
flags.DEFINE_list("validation_images", [], "Images held out, such as BSDS500/train/100075.")
flags.DEFINE_integer("validation_crop", 0, "Side of their central part that is used (0: whole).")
flags.DEFINE_float("validation_minutes", 10.0, "Minutes between validations.")
flags.DEFINE_integer("validation_steps", 0, "Validates at multiples of so many steps too (0: no).")
flags.DEFINE_float("checkpoint_minutes", 5.0, "Minutes between checkpoints.")
flags.DEFINE_integer(
    "checkpoint_steps", 0, "Checkpoints at multiples of so many steps too (0: no)."
)
flags.DEFINE_integer("keep_checkpoints", 3, "Checkpoints to keep.")
flags.DEFINE_float("log_seconds", 30.0, "Seconds between lines of the log.")


def main(_):
    config = _config()
    cli.start_tensorflow()
    from nlrn_tf.files import write_text
    from nlrn_tf.training.history import record_start
    from nlrn_tf.training.trainer import train

    level = f"s{config.noise_sigma:g}" if config.task == "denoise" else ""
    workdir = FLAGS.workdir or "_".join(filter(None, ("runs/" + config.task, level)))

    def on_start():
        write_text(f"{workdir}/flags.cfg", FLAGS.flags_into_string())
        record_start(workdir, sys.argv)

    weights = train(
        config,
        workdir=workdir,
        data_dir=cli.data_dir(FLAGS.data_dir),
        records_dir=FLAGS.records_dir,
        init_weights=FLAGS.init_weights or None,
        on_start=on_start,
    )
    print(weights)


def _config() -> TrainingConfig:
    try:
        return TrainingConfig(**{field.name: _typed(field) for field in fields(TrainingConfig)})
    except NLRNError as error:
        raise flags.Error(str(error)) from error


def _typed(field: Field):
    """The value of the flag of a field; the texts of a list become what the field holds."""
    value = FLAGS[field.name].value
    if not isinstance(value, list):
        return value
    kind = {"tuple[int, ...]": int, "tuple[float, ...]": float}.get(str(field.type), str)
    try:
        return tuple(kind(item) for item in value)
    except ValueError as error:
        raise flags.Error(f"--{field.name}={','.join(value)}: {error}") from error


if __name__ == "__main__":
    cli.run(main)
