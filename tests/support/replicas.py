"""Run by the tests of distributed training: training runs of one process, one after the other.

Usage: python replicas.py DATA RUNS. RUNS is a JSON list; each run has its `workdir` and the
settings of `TrainingConfig.of`, and may have

    poisoned   the steps whose last clean patch is NaN, on the last worker: the loss and the
               gradient of the last replica alone are not finite then
    killed     the step at which the last worker is killed
    devices    how many CPU devices TensorFlow has; of the first run
"""

import json
import os
import signal

import numpy as np
import tensorflow as tf

from nlrn_tf import cli
from nlrn_tf.training import trainer
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.step import TrainingStep

take_step = TrainingStep.__call__


def disturb(poisoned_steps, last_step):
    taken = []

    def disturbed(self, state, batches, rate):
        taken.append(1)
        if len(taken) == last_step and is_last_worker():
            os.kill(os.getpid(), signal.SIGKILL)
        if len(taken) in poisoned_steps and is_last_worker():
            degraded, clean = batches[-1]
            clean = np.array(clean)
            clean[-1] = np.nan
            batches = [*batches[:-1], (degraded, clean)]
        return take_step(self, state, batches, rate)

    TrainingStep.__call__ = disturbed


def is_last_worker():
    config = json.loads(os.environ.get("TF_CONFIG", "null"))
    return not config or config["task"]["index"] == len(config["cluster"]["worker"]) - 1


def split_cpu(devices):
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(cpu, parts)


def main(arguments):
    data, runs = arguments[0], json.loads(arguments[1])
    split_cpu(runs[0].get("devices", 1))
    for run in runs:
        run.pop("devices", None)
        disturb(run.pop("poisoned", []), run.pop("killed", None))
        workdir = run.pop("workdir")
        settings = {name: tuple(v) if isinstance(v, list) else v for name, v in run.items()}
        trainer.train(TrainingConfig.of(**settings), workdir=workdir, data_dir=data)


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
