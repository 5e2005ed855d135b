"""Replicas: processes, devices of TensorFlow and of JAX, against one device."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from nlrn_tf import backend
from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.training import distribution
from nlrn_tf.training.checkpoint import Checkpoint, checkpoint_path, latest_checkpoint
from nlrn_tf.training.curve import read_curve
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.start import network_config
from nlrn_tf.training.state import variables_of
from nlrn_tf.training.trainer import train
from tests.support import workers
from tests.support.training import SMALL, new_batch

# Two batch sizes, growth between them, and two steps that the last replica spoils.
RUN = {
    "sources": ["photos"],
    "filters": [6],
    "embedding_size": [3],
    "window_size": 9,
    "num_states": [2, 3],
    "phase_ends": [0.5],
    "patch_size": [9],
    "batch_size": [4, 6],
    "steps": 20,
    "lr_schedule": "cosine",
    "log_seconds": 0.0,
    "poisoned": [4, 15],
}
FULL = {
    **RUN,
    "ema_decay": 0.9,
    "accumulate": 2,
    "validation_images": ["photos/a"],
    "validation_crop": 16,
    "validation_steps": 10,
}
SHORT = {**RUN, "num_states": [2], "batch_size": [4], "phase_ends": [], "steps": 4, "poisoned": [2]}
LOW_PRECISIONS = ("bfloat16", "float16")

# A batch norm takes the mean away, so these have no influence and their gradient is rounding alone,
# which Adam enlarges to whole steps.
WITHOUT_INFLUENCE = ("conv_in/bias", "conv_a/bias", "conv_b/bias", "g/bias")


@pytest.fixture(scope="module")
def one_device(photos, tmp_path_factory):
    """The runs on one device: FULL in `full`, and SHORT in each low precision."""
    folder = tmp_path_factory.mktemp("one")
    workers.run(photos, all_runs(folder))
    return folder


def all_runs(folder, **settings):
    runs = [{**FULL, "workdir": str(folder / "full"), **settings}]
    for precision in LOW_PRECISIONS:
        workdir = str(folder / precision)
        runs.append({**SHORT, "precision": precision, "workdir": workdir, **settings})
    return runs


def final(folder):
    return latest_checkpoint(folder / "checkpoints")


def difference(ours, theirs, part):
    """Of all arrays of a part, as a share of their norm."""
    squares = [
        (np.sum((ours.state[part][name] - value) ** 2), np.sum(value**2))
        for name, value in theirs.state[part].items()
    ]
    return np.sqrt(np.divide(*np.sum(squares, axis=0)))


def assert_same_run(ours, theirs, tolerance=1e-5):
    """Every weight and moment that has influence, and what the network makes of a batch."""
    counts = ("step", "examples", "num_states", "skipped")
    assert [getattr(ours, n) for n in counts] == [getattr(theirs, n) for n in counts]
    compared = 0
    for part, values in theirs.state.items():
        for name, value in values.items():
            if name.endswith((*WITHOUT_INFLUENCE, "moving_mean")):
                continue
            scale = max(1, np.abs(value).max()) if "moving" in name else 1
            worst = np.abs(ours.state[part][name] - value).max() / scale
            assert worst < tolerance, f"{part}/{name} differs by {worst}"
            compared += 1
    assert compared > 50
    batch = new_batch(np.random.default_rng(0))[0]
    output = trained_output(theirs, batch)
    np.testing.assert_allclose(trained_output(ours, batch), output, atol=tolerance)
    np.testing.assert_allclose(trained_output(theirs, batch, shift=0.5), output, atol=1e-5)


def trained_output(run, batch, shift=0.0):
    """Of the network by the batch's statistics; what has no influence is shifted."""
    lists = {n: tuple(v) if isinstance(v, list) else v for n, v in run.config.items()}
    config = TrainingConfig.of(**lists)
    model = NLRN(network_config(config, run))
    for name, variable in variables_of(model)["trainable"].items():
        added = shift if name.endswith(WITHOUT_INFLUENCE) else 0
        variable.assign(run.state["trainable"][name] + added)
    return np.asarray(model(batch, training=True))


@pytest.mark.slow
def test_two_devices_train_as_one(photos, tmp_path, one_device):
    """With growth, accumulation, EMA, validation, steps that are not finite; in each precision."""
    workers.run(photos, all_runs(tmp_path, distribute="mirrored", devices=2))
    ours, theirs = final(tmp_path / "full"), final(one_device / "full")
    assert theirs.skipped == 2
    assert_same_run(ours, theirs)
    assert np.linalg.norm(theirs.state["momentum"]["conv_out/kernel"]) > 1e-3
    curves = [read_curve(folder / "full" / "curve.csv") for folder in (tmp_path, one_device)]
    assert curves[0]["step"].tolist() == [10, 20]
    np.testing.assert_allclose(curves[0]["val_psnr"], curves[1]["val_psnr"], atol=0.01)
    for precision in LOW_PRECISIONS:
        ours, theirs = final(tmp_path / precision), final(one_device / precision)
        assert ours.state["counters"] == theirs.state["counters"]
        assert ours.state["counters"]["updates"] == 3
        # The shares are rounded by themselves, and Adam makes whole steps of small gradients.
        assert difference(ours, theirs, "momentum") < 0.1
    scale = final(tmp_path / "float16").state["counters"]["loss_scale"]
    assert scale == final(one_device / "float16").state["counters"]["loss_scale"] == 2048


@pytest.mark.slow
def test_two_processes_train_as_one_device_and_a_killed_one_changes_nothing(
    photos, tmp_path, one_device
):
    whole = {**FULL, "distribute": "multi_worker", "checkpoint_steps": 5}
    with workers.workers(photos, [{**whole, "workdir": str(tmp_path / "whole")}]) as processes:
        assert workers.end(processes) == [0, 0], workers.said_by(processes[0])
    assert_same_run(final(tmp_path / "whole"), final(one_device / "full"))

    cut = {**whole, "workdir": str(tmp_path / "cut"), "poisoned": [4], "killed": 13}
    with workers.workers(photos, [cut]) as (chief, other):
        assert other.wait(timeout=300) == -signal.SIGKILL
        assert chief.wait(timeout=60) == 1
        said = workers.said_by(chief).splitlines()
    assert said[-1] == (
        "replicas.py: distribute=multi_worker: worker 0 has lost another worker; start all of them "
        "again to go on from the last checkpoint"
    )
    assert said[-2].startswith("step 12 ")
    assert final(tmp_path / "cut").step == 10
    rest = {**cut, "poisoned": [5], "killed": None}
    with workers.workers(photos, [rest]) as processes:
        assert workers.end(processes) == [0, 0], workers.said_by(processes[0])
    ours, theirs = final(tmp_path / "cut"), final(tmp_path / "whole")
    assert ours.step == theirs.step == 20
    for part, values in theirs.state.items():
        for name, value in values.items():
            np.testing.assert_array_equal(ours.state[part][name], value, err_msg=name)

    # The same run goes on with another number of replicas.
    checkpoint = checkpoint_path(tmp_path / "whole" / "checkpoints", 10)
    (tmp_path / "alone" / "checkpoints").mkdir(parents=True)
    shutil.copy(checkpoint, tmp_path / "alone" / "checkpoints")
    workers.run(photos, [{**FULL, "poisoned": [5], "workdir": str(tmp_path / "alone")}])
    assert_same_run(final(tmp_path / "alone"), final(tmp_path / "whole"))


@pytest.mark.slow
def test_two_devices_of_jax_train_as_one(photos, tmp_path):
    pytest.importorskip("jax")
    jax = {"KERAS_BACKEND": "jax"}
    workers.run(photos, [{**RUN, "workdir": str(tmp_path / "one")}], **jax)
    two = {**RUN, "workdir": str(tmp_path / "two"), "distribute": "mirrored"}
    jax["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    workers.run(photos, [two], **jax)
    ours, theirs = final(tmp_path / "two"), final(tmp_path / "one")
    assert theirs.skipped == 2
    assert_same_run(ours, theirs)


class TestRefused:
    """One line says what does not fit, before anything is computed."""

    def refused(self, photos, folder, **settings):
        config = dataclasses.replace(SMALL, validation_images=(), **settings)
        with pytest.raises(NLRNError) as raised:
            train(config, workdir=folder / "run", data_dir=photos)
        assert not (folder / "run").exists()
        assert "\n" not in str(raised.value)
        return str(raised.value)

    def test_an_unknown_way(self):
        with pytest.raises(NLRNError, match="distribute=two is not allowed: give one of none, mir"):
            dataclasses.replace(SMALL, distribute="two")

    def test_one_device(self, photos, tmp_path, monkeypatch):
        one = tf.config.list_logical_devices("CPU")[:1]
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: one * (kind == "CPU"))
        said = self.refused(photos, tmp_path, distribute="mirrored")
        assert said == (
            "distribute=mirrored is not allowed: give none, as tensorflow has one device here, "
            "/device:CPU:0"
        )

    def test_several_workers_on_another_backend(self, photos, tmp_path, monkeypatch):
        monkeypatch.setattr(backend, "name", lambda: "jax")
        said = self.refused(photos, tmp_path, distribute="multi_worker")
        assert said == "KERAS_BACKEND=jax: distribute=multi_worker needs tensorflow"

    def test_a_cluster_that_is_not_described(self, photos, tmp_path, monkeypatch):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        said = self.refused(photos, tmp_path, distribute="multi_worker")
        assert said.startswith("TF_CONFIG: is not set; ")

    def test_a_batch_that_cannot_be_shared(self, photos, tmp_path, monkeypatch):
        monkeypatch.setattr(distribution, "_Mirrored", lambda: Fake(replicas=4, workers=1))
        said = self.refused(photos, tmp_path, distribute="mirrored", batch_size=(6,))
        assert said == (
            "batch_size=6 is not allowed: give multiples of 4, which is how many replicas share a "
            "batch"
        )

    @pytest.mark.parametrize(
        ("told", "words"),
        [
            ([(1, 0, 0), (2, 0, 0)], "worker 1 has other settings than the chief"),
            ([(1, 5, 20), (1, 5, 20), (1, 0, 0)], "worker 2 does not see the checkpoints of the"),
        ],
    )
    def test_workers_that_are_not_in_the_same_run(self, told, words):
        run = Checkpoint({}, step=told[0][1], examples=told[0][2])
        fake = Fake(replicas=len(told), workers=len(told), told=told)
        with pytest.raises(NLRNError, match=f"^distribute=multi_worker: {words}"):
            fake.require_same(SMALL, run)
        fake.told = told[:1] * len(told)
        fake.require_same(SMALL, run)

    def test_the_command_says_it_in_one_line(self, photos, tmp_path):
        for value, code, words in [
            ("two", 2, "--distribute=two"),
            ("multi_worker", 1, "TF_CONFIG: wrong value (is not JSON"),
        ]:
            command = [sys.executable, "run_train.py", f"--distribute={value}"]
            command += [f"--data_dir={photos}", f"--workdir={tmp_path / 'run'}"]
            done = subprocess.run(
                command,
                cwd=workers.ROOT,
                env={**os.environ, "TF_CONFIG": "{"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == code
            assert done.stderr.count("\n") == 1, done.stderr
            assert words in done.stderr


class Fake(distribution.Distribution):
    """A number of replicas that are not there; each worker has told some numbers."""

    def __init__(self, replicas, workers, told=()):
        self.replicas, self.workers, self.told = replicas, workers, told

    def gathered(self, *numbers):
        assert len(numbers) == len(self.told[0])
        return np.array(self.told, np.float64)
