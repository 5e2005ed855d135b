"""Turns the authors' released TensorFlow 1 weights into a `.keras` file.

python data_tools/import_released.py --saved_model=DIR --output=FILE.keras --noise_sigma=15
python data_tools/import_released.py --checkpoint=PREFIX --output=FILE.keras
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlrn_tf import cli
from nlrn_tf.errors import printable
from nlrn_tf.tasks.registry import task_names

FLAGS = flags.FLAGS
flags.DEFINE_string("saved_model", None, "Folder of a released SavedModel.")
flags.DEFINE_string("checkpoint", None, "Or: prefix of an NLRN_v0 checkpoint (without .index).")
flags.DEFINE_string("output", None, "The .keras file to write.")
flags.DEFINE_enum("task", task_names()[0], task_names(), "What the weights were trained for.")
flags.DEFINE_float(
    "noise_sigma", None, "Noise level of a denoiser, in 8-bit grey levels.", lower_bound=0
)
flags.DEFINE_bool(
    "correlation_propagation",
    True,
    "Whether the weights were trained with correlation propagation. They do not show it: NLRN_v0's "
    "models/nlrn.py has it, its models/nlrn_v0.py has not.",
)


def main(_):
    if (FLAGS.saved_model is None) == (FLAGS.checkpoint is None):
        raise flags.Error("give one of --saved_model and --checkpoint")
    if FLAGS.output is None:
        raise flags.Error("give --output=FILE.keras")
    cli.start_tensorflow()
    from nlrn_tf.weights.loading import save_model
    from nlrn_tf.weights.released import import_checkpoint, import_saved_model

    config = {
        "task": FLAGS.task,
        "noise_sigma": FLAGS.noise_sigma,
        "correlation_propagation": FLAGS.correlation_propagation,
    }
    if FLAGS.saved_model is not None:
        model = import_saved_model(FLAGS.saved_model, **config)
    else:
        model = import_checkpoint(FLAGS.checkpoint, **config)
    save_model(model, FLAGS.output)
    size = f"{model.config.num_states} states, {model.count_params()} parameters"
    print(printable(f"{FLAGS.output}: {size}"))


if __name__ == "__main__":
    cli.run(main)
