"""Run by the tests of distributed training: a training run of one process.

Usage: python replicas.py FOLDER DATA SETTINGS, which are those of `TrainingConfig.of` as JSON, and
"poisoned": the steps whose last clean patch of the batch is NaN, so that the loss and gradient of
the last replica alone are not finite; "devices": how many CPU devices TensorFlow has.
"""

import json
import sys

import numpy as np
import tensorflow as tf

from nlrn_tf import backend, cli
from nlrn_tf.training import trainer
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.step import TrainingStep


def poison(steps, is_last):
    """Makes the last clean patch of the last batch of a step NaN, on the last worker."""
    taken, step = [], TrainingStep.__call__

    def poisoned(self, state, batches, rate):
        taken.append(1)
        if len(taken) in steps and is_last:
            degraded, clean = batches[-1]
            clean = np.array(clean)
            clean[-1] = np.nan
            batches = [*batches[:-1], (degraded, clean)]
        return step(self, state, batches, rate)

    TrainingStep.__call__ = poisoned


def main(arguments):
    folder, data, settings = arguments
    settings = json.loads(settings)
    steps, is_last = settings.pop("poisoned", []), settings.pop("is_last", True)
    devices = settings.pop("devices", 1)
    if devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, parts)
    poison(steps, is_last)
    lists = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    trainer.train(TrainingConfig.of(**lists), workdir=folder, data_dir=data)
    assert backend.name() in ("tensorflow", "jax")


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
