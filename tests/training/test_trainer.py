"""Whole training runs: what they leave, resuming, interruption, errors, other backends."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf import precision
from nlrn_tf.errors import NLRNError, NotFiniteError
from nlrn_tf.training import trainer
from nlrn_tf.training.checkpoint import latest_checkpoint
from nlrn_tf.training.curve import read_curve
from nlrn_tf.training.step import TrainingStep
from nlrn_tf.training.trainer import train
from nlrn_tf.weights.loading import save_model
from tests.support.training import SMALL, arrays, new_batch, new_model

ROOT = Path(__file__).resolve().parents[2]


def _final(workdir):
    return latest_checkpoint(workdir / "checkpoints")


def _assert_same_run(a, b):
    assert (a.step, a.examples, a.num_states) == (b.step, b.examples, b.num_states)
    for x, y in zip(arrays(a.state), arrays(b.state), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)


class TestRun:
    def test_training_lowers_the_loss_and_leaves_its_files(self, photos, tmp_path):
        config = dataclasses.replace(SMALL, steps=60, validation_steps=30, log_seconds=0.0)
        weights = train(config, workdir=tmp_path, data_dir=photos)
        with open(tmp_path / "curve.csv") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["step"]) for row in rows] == [30, 60]
        assert float(rows[-1]["val_psnr"]) > 20.3  # the noisy image has 20.2
        assert nlrn_tf.load_model(weights).config.noise_sigma == 25
        assert (tmp_path / "best.keras").exists()
        assert any((tmp_path / "tensorboard").iterdir())

    def test_resumed_training_equals_uninterrupted_training(self, photos, tmp_path):
        """Through a phase change, with EMA, and in a new process state: the run starts again."""
        config = dataclasses.replace(
            SMALL,
            steps=9,
            num_states=(1, 2),
            batch_size=(3, 4),
            phase_ends=(0.5,),
            ema_decay=0.9,
            checkpoint_steps=1,
            keep_checkpoints=20,
        )
        train(config, workdir=tmp_path / "whole", data_dir=photos)
        for last in (3, 7):
            folder = tmp_path / f"cut{last}" / "checkpoints"
            folder.mkdir(parents=True)
            source = tmp_path / "whole" / "checkpoints" / f"step-{last:08d}.npz"
            (folder / source.name).write_bytes(source.read_bytes())
            train(config, workdir=tmp_path / f"cut{last}", data_dir=photos)
            _assert_same_run(_final(tmp_path / f"cut{last}"), _final(tmp_path / "whole"))

    @pytest.mark.parametrize("images", [SMALL.validation_images, ()])
    def test_a_finished_run_is_left_as_it_is(self, photos, tmp_path, images):
        config = dataclasses.replace(SMALL, validation_images=images, steps=3)
        train(config, workdir=tmp_path, data_dir=photos)
        before = (tmp_path / "weights.keras").stat().st_mtime_ns
        train(config, workdir=tmp_path, data_dir=photos)
        assert (tmp_path / "weights.keras").stat().st_mtime_ns == before

    def test_a_checkpoint_at_the_last_step_does_not_stand_in_for_the_validation(
        self, photos, tmp_path
    ):
        config = dataclasses.replace(SMALL, steps=6, checkpoint_steps=3)
        train(config, workdir=tmp_path, data_dir=photos)
        assert read_curve(tmp_path / "curve.csv")["step"].tolist() == [6]

    def test_a_work_folder_of_another_run_is_refused(self, photos, tmp_path):
        train(SMALL, workdir=tmp_path, data_dir=photos)
        for change in ({"noise_sigma": 50.0}, {"noise_levels": (50.0,)}):
            other = dataclasses.replace(SMALL, **change)
            with pytest.raises(NLRNError, match=f"a run with {next(iter(change))}="):
                train(other, workdir=tmp_path, data_dir=photos)

    def test_another_crop_of_the_validation_begins_the_curve_anew(self, photos, tmp_path):
        config = dataclasses.replace(SMALL, steps=3, validation_steps=1)
        train(config, workdir=tmp_path, data_dir=photos)
        before = read_curve(tmp_path / "curve.csv")
        config = dataclasses.replace(config, validation_crop=20)
        train(config, workdir=tmp_path, data_dir=photos)
        rows = read_curve(tmp_path / "curve.csv")
        assert (before["step"].tolist(), rows["step"].tolist()) == ([1, 2, 3], [3])
        assert rows["val_psnr"][0] != before["val_psnr"][-1]
        assert _final(tmp_path).best == pytest.approx(rows["val_psnr"][0], abs=1e-4)

    def test_a_run_that_goes_on_in_float16_gets_its_loss_scale(self, photos, tmp_path):
        config = dataclasses.replace(SMALL, steps=1, validation_images=())
        train(config, workdir=tmp_path, data_dir=photos)
        config = dataclasses.replace(config, steps=2, precision="float16")
        train(config, workdir=tmp_path, data_dir=photos)
        counters = latest_checkpoint(tmp_path / "checkpoints").state["counters"]
        expected = {"updates": 2, "loss_scale": 4096, "since_scaled": 1}
        assert {name: float(value) for name, value in counters.items()} == expected

    @pytest.mark.parametrize(("multiplies", "taken"), [(True, "bfloat16"), (False, "float32")])
    def test_auto_takes_bfloat16_where_the_processor_does(
        self, photos, tmp_path, monkeypatch, multiplies, taken
    ):
        monkeypatch.setattr(precision, "_cpu_multiplies", lambda: multiplies)
        config = dataclasses.replace(SMALL, steps=1, validation_images=(), precision="auto")
        train(config, workdir=tmp_path, data_dir=photos)
        assert latest_checkpoint(tmp_path / "checkpoints").config["precision"] == taken

    def test_starts_from_given_weights(self, photos, tmp_path):
        first = train(SMALL, workdir=tmp_path / "a", data_dir=photos)
        config = dataclasses.replace(SMALL, steps=1, learning_rate=1e-12)
        second = train(config, workdir=tmp_path / "b", data_dir=photos, init_weights=str(first))
        a, b = nlrn_tf.load_model(first), nlrn_tf.load_model(second)
        for x, y in zip(a.trainable_variables, b.trainable_variables, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)
        assert a.config.trained_on == ("photos",)
        without = dataclasses.replace(a.config, correlation_propagation=False)
        other = str(tmp_path / "other.keras")
        save_model(nlrn_tf.NLRN(without), other)
        with pytest.raises(NLRNError, match=r"other\.keras: has correlation_propagation=False"):
            train(SMALL, workdir=tmp_path / "c", data_dir=photos, init_weights=other)

    def test_a_start_for_another_level_is_scaled_to_that_of_the_training(self, photos, tmp_path):
        first = train(SMALL, workdir=tmp_path / "a", data_dir=photos)
        config = dataclasses.replace(SMALL, steps=1, learning_rate=1e-12, noise_sigma=50.0)
        second = train(config, workdir=tmp_path / "b", data_dir=photos, init_weights=str(first))
        expected = nlrn_tf.load_model(first, noise_sigma=50.0)
        network = nlrn_tf.load_model(second)
        assert (network.config.noise_sigma, network.config.trained_sigma) == (50, None)
        for x, y in zip(expected.trainable_variables, network.trainable_variables, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)

    def test_stops_after_many_steps_without_a_finite_gradient(self, photos, tmp_path, monkeypatch):
        config = dataclasses.replace(SMALL, steps=50, max_skipped=3)
        monkeypatch.setattr(
            TrainingStep,
            "__call__",
            lambda self, state, batches, rate: (
                state,
                {"loss": np.nan, "mse": np.nan, "gradient_norm": np.nan, "finite": 0.0},
            ),
        )
        with pytest.raises(NLRNError, match="3 steps in a row"):
            train(config, workdir=tmp_path, data_dir=photos)

    @pytest.mark.parametrize("upsample", ["before", "after"])
    def test_one_super_resolution_network_for_three_scales(self, photos, tmp_path, upsample):
        network = dataclasses.replace(SMALL.network, upsample=upsample)
        config = dataclasses.replace(
            SMALL, task="sr", steps=2, scale_augmentation=(1.0, 0.8), network=network
        )
        weights = train(config, workdir=tmp_path, data_dir=photos)
        found = nlrn_tf.load_model(weights).config
        assert (found.task, found.scales, found.noise_sigma) == ("sr", (2, 3, 4), None)
        assert found.upsample == upsample

    def test_missing_validation_image_is_named(self, photos, tmp_path):
        config = dataclasses.replace(SMALL, validation_images=("photos/z",))
        with pytest.raises(NLRNError, match="photos/z"):
            train(config, workdir=tmp_path, data_dir=photos)


def _command(photos, workdir, *flags):
    return [
        *(sys.executable, "run_train.py", f"--data_dir={photos}", f"--workdir={workdir}"),
        *("--sources=photos", "--filters=6", "--embedding_size=3", "--window_size=9"),
        *("--num_states=2", "--patch_size=9", "--batch_size=4", "--lr_schedule=cosine"),
        *flags,
    ]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(photos, tmp_path, how):
    """The script is killed at a random step; Ctrl-C saves a checkpoint first."""
    flags = ["--steps=150", "--checkpoint_steps=7", "--keep_checkpoints=3"]
    if how == signal.SIGINT:
        flags[1] = "--checkpoint_steps=0"
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(_command(photos, whole, *flags), cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen(
        [*_command(photos, cut, *flags), "--log_seconds=0"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    wanted = np.random.default_rng().integers(10, 80)
    for line in process.stderr:
        if line.startswith(f"step {wanted} "):
            break
    process.send_signal(how)
    process.stderr.read()
    code = process.wait(timeout=60)
    assert code == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        assert _final(cut).step >= wanted
    assert _final(cut).step < 150
    subprocess.run(_command(photos, cut, *flags), cwd=ROOT, check=True, capture_output=True)
    _assert_same_run(_final(cut), _final(whole))


def test_bad_flags_and_data_end_with_one_line(photos, tmp_path):
    for flags, code, words in [
        (["--steps=0"], 2, "--steps"),
        (["--batch_size=four"], 2, "--batch_size"),
        (["--flagfile=nothing.cfg"], 2, "nothing.cfg"),
        (["--sources=nowhere"], 1, "nowhere"),
    ]:
        command = _command(photos, tmp_path / "run", *flags)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == code
        assert done.stderr.count("\n") == 1, done.stderr
        assert words in done.stderr


@pytest.mark.parametrize("upsample", ["before", pytest.param("after", marks=pytest.mark.slow)])
@pytest.mark.parametrize("backend", ["jax"])
def test_another_backend_gives_the_same_output_and_first_updates(tmp_path, rng, backend, upsample):
    """From one weights file and one batch, two steps and a forward pass in windows."""
    pytest.importorskip(backend)
    config, (degraded, clean) = SMALL, new_batch(rng)
    if upsample == "after":
        network = dataclasses.replace(SMALL.network, upsample=upsample)
        config = dataclasses.replace(SMALL, task="sr", scales=(2, 3), network=network)
        clean = rng.random((*clean.shape[:3], 13)).astype("float32")
        clean[:2, ..., 4:] = clean[2:, ..., :4] = np.nan
    model = new_model(config)
    nlrn_tf.weights.loading.save_model(model, tmp_path / "start.keras")
    image = rng.random((1, 20, 23, 1)).astype("float32")
    np.savez(tmp_path / "data.npz", degraded=degraded, clean=clean, image=image)
    script = ROOT / "tests" / "support" / "two_steps.py"
    for engine in ("tensorflow", backend):
        environment = {**os.environ, "KERAS_BACKEND": engine, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(script), str(tmp_path), f"{engine}.npz"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    ours, theirs = (np.load(tmp_path / f"{name}.npz") for name in ("tensorflow", backend))
    assert set(ours) == set(theirs)
    largest = max(np.abs(ours[name]).max() for name in ours if "momentum" in name)
    for name in ours:
        expected, found = ours[name], theirs[name]
        if " trainable" in name:
            # The gradient of a bias before a batch norm is rounding alone, which Adam enlarges.
            known = np.abs(ours[name.replace("trainable", "momentum")]) > 1e-3 * largest
            expected, found = expected[known], found[known]
        tolerance = 1e-4 * largest if "momentum" in name else 2e-5
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=tolerance, err_msg=name)


@pytest.mark.slow
def test_the_smoke_run_on_real_records(data_dir, tmp_path):
    start = time.monotonic()
    command = [sys.executable, "run_train.py", "--flagfile=flags/smoke.cfg"]
    command += [f"--data_dir={data_dir}", f"--workdir={tmp_path}", "--log_seconds=0"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    losses = [
        float(x.split("loss ")[1].split()[0]) for x in done.stderr.splitlines() if "loss" in x
    ]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])
    assert time.monotonic() - start < 300


class TestUnsettledNetworks:
    """Before the moving statistics have settled a network without softmax may not be finite."""

    @pytest.fixture
    def not_finite(self, monkeypatch):
        def validate(*_):
            raise NotFiniteError("the model returned values that are not finite")

        monkeypatch.setattr(trainer, "validate", validate)

    def test_an_early_validation_does_not_stop_the_run(self, photos, tmp_path, not_finite, capfd):
        config = dataclasses.replace(SMALL, steps=4, validation_steps=2)
        weights = train(config, workdir=tmp_path, data_dir=photos)
        assert nlrn_tf.load_model(weights).config.noise_sigma == 25
        assert capfd.readouterr().err.count("no validation yet") == 2
        assert not (tmp_path / "best.keras").exists()

    def test_a_later_one_does(self, photos, tmp_path, not_finite, monkeypatch):
        monkeypatch.setattr(trainer, "SETTLED_UPDATES", 2)
        with pytest.raises(NLRNError, match="not finite"):
            train(dataclasses.replace(SMALL, steps=2), workdir=tmp_path, data_dir=photos)
