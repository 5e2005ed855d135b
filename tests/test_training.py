"""Training: the step, the schedule, growth, checkpoints and resuming."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.images import write_image
from nlrn_tf.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from nlrn_tf.training.growth import grow_state
from nlrn_tf.training.schedule import Clock, learning_rate, phase_at
from nlrn_tf.training.settings import PRECISIONS, TrainingConfig
from nlrn_tf.training.step import TrainingStep, first_state
from nlrn_tf.training.trainer import train

ROOT = Path(__file__).resolve().parents[1]
SMALL = TrainingConfig(
    sources=("photos",),
    filters=6,
    embedding_size=3,
    window_size=9,
    num_states=(2,),
    patch_size=(9,),
    batch_size=(4,),
    steps=8,
    learning_rate=3e-3,
    lr_schedule="cosine",
    validation_images=("photos/a",),
    validation_crop=16,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A data folder with three smooth images."""
    folder = tmp_path_factory.mktemp("data")
    y, x = np.mgrid[:40, :50]
    for name, angle in zip("abc", (0.3, 1.2, 2.0), strict=True):
        wave = np.sin(0.25 * (x * np.cos(angle) + y * np.sin(angle)))
        write_image(folder / "photos" / f"{name}.png", (127 + 100 * wave).astype(np.uint8))
    return folder


def _model(config, num_states=2, dtype="float32"):
    keras.utils.set_random_seed(1)
    return nlrn_tf.NLRN(
        nlrn_tf.NLRNConfig(config.filters, config.embedding_size, num_states, config.window_size),
        dtype=dtype,
    )


def _batch(rng, count=4, size=9):
    clean = rng.random((count, size, size, 1)).astype("float32")
    return clean + rng.normal(0, 0.1, clean.shape).astype("float32"), clean


def _arrays(state):
    return [np.asarray(value) for name in sorted(state) for value in state[name]]


def _final(workdir):
    return latest_checkpoint(workdir / "checkpoints")


def _assert_same_run(a, b):
    assert (a.step, a.examples, a.num_states) == (b.step, b.examples, b.num_states)
    for x, y in zip(_arrays(a.state), _arrays(b.state), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)


class TestStep:
    def test_first_update_is_adams(self, rng):
        """The first step of Adam moves each weight by the learning rate against the gradient."""
        model = _model(SMALL)
        state = first_state(model, SMALL)
        batch = _batch(rng)
        after, metrics = TrainingStep(model, SMALL)(state, [batch], 1e-3)
        assert metrics["finite"] == 1
        moved = np.abs(_arrays({"t": after["trainable"]})[-2] - state["trainable"][-2])
        np.testing.assert_allclose(moved.max(), 1e-3, rtol=1e-3)

    def test_metrics_are_the_papers_loss(self, rng):
        model = _model(SMALL)
        degraded, clean = _batch(rng)
        _, metrics = TrainingStep(model, SMALL)(
            first_state(model, SMALL), [(degraded, clean)], 1e-3
        )
        error = np.asarray(model(degraded, training=True)) - clean
        assert float(metrics["mse"]) == pytest.approx(np.mean(error**2), rel=1e-4)
        assert float(metrics["loss"]) == pytest.approx(0.5 * np.mean((255 * error) ** 2), rel=1e-4)

    def test_gradient_is_that_of_finite_differences(self, rng):
        """Moments after one step from zero are 0.1 times the clipped gradient."""
        config = dataclasses.replace(SMALL, clip_norm=1e9)
        model = _model(config)
        model.set_weights([w + rng.uniform(0.05, 0.2, w.shape) for w in model.get_weights()])
        state = first_state(model, config)
        degraded, clean = _batch(rng)
        after, _ = TrainingStep(model, config)(state, [(degraded, clean)], 0.0)
        names = [v.path for v in model.trainable_variables]
        for part in ("conv_out/kernel", "theta/kernel", "norm_b/gamma"):
            index = next(i for i, name in enumerate(names) if name.endswith(part))
            gradient = np.asarray(after["momentum"][index]) / 0.1
            place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)

            def loss(change, index=index, place=place):
                moved = [value.copy() for value in state["trainable"]]
                moved[index][place] += change
                output, _ = model.stateless_call(
                    moved, state["non_trainable"], degraded, training=True
                )
                error = np.asarray(output, "float64") - clean
                return 0.5 * np.mean((255 * error) ** 2)

            difference = (loss(1e-2) - loss(-1e-2)) / 2e-2
            assert gradient[place] == pytest.approx(difference, rel=0.05)

    def test_gradient_is_clipped_by_its_global_norm(self, rng):
        config = dataclasses.replace(SMALL, clip_norm=0.5)
        model = _model(config)
        after, metrics = TrainingStep(model, config)(
            first_state(model, config), [_batch(rng)], 1e-3
        )
        assert metrics["gradient_norm"] > 0.5
        norm = np.sqrt(sum(np.sum(np.square(m)) for m in after["momentum"])) / 0.1
        assert norm == pytest.approx(0.5, rel=1e-4)

    def test_accumulated_batches_give_the_mean_gradient(self, rng):
        """Two equal halves have the gradient of one of them."""
        config = dataclasses.replace(SMALL, clip_norm=1e9)
        model = _model(config)
        batch = _batch(rng)
        step = TrainingStep(model, config)
        once, _ = step(first_state(model, config), [batch], 1e-3)
        twice, _ = step(first_state(model, config), [batch, batch], 1e-3)
        for a, b in zip(once["momentum"], twice["momentum"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    def test_a_step_without_a_finite_gradient_changes_nothing(self, rng):
        config = dataclasses.replace(SMALL, ema_decay=0.9)
        model = _model(config)
        state = first_state(model, config)
        degraded, clean = _batch(rng)
        degraded[0, 0, 0, 0] = np.nan
        after, metrics = TrainingStep(model, config)(state, [(degraded, clean)], 1e-3)
        assert metrics["finite"] == 0
        for before, now in zip(_arrays(state), _arrays(after), strict=True):
            np.testing.assert_array_equal(before, now)

    def test_float16_halves_its_loss_scale_after_an_overflow(self, rng):
        config = dataclasses.replace(SMALL, precision="float16")
        model = _model(config, dtype=PRECISIONS["float16"])
        state = first_state(model, config)
        state["counters"][1] = np.float32(1e30)
        after, metrics = TrainingStep(model, config)(state, [_batch(rng)], 1e-3)
        assert metrics["finite"] == 0
        assert float(after["counters"][1]) == pytest.approx(0.5e30)
        assert float(after["counters"][0]) == 0

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_low_precision_learns_like_float32(self, rng, precision):
        batches = [[_batch(rng)] for _ in range(12)]
        losses = {}
        for name in ("float32", precision):
            config = dataclasses.replace(SMALL, precision=name)
            model = _model(config, dtype=PRECISIONS[name])
            step, state = TrainingStep(model, config), first_state(model, config)
            losses[name] = []
            for batch in batches:
                state, metrics = step(state, batch, 3e-3)
                losses[name].append(float(metrics["loss"]))
            assert float(state["counters"][0]) == 12
        np.testing.assert_allclose(losses[precision], losses["float32"], rtol=0.02)

    def test_averages_follow_the_weights(self, rng):
        config = dataclasses.replace(SMALL, ema_decay=0.5)
        model = _model(config)
        state = first_state(model, config)
        after, _ = TrainingStep(model, config)(state, [_batch(rng)], 1e-2)
        decay = 2 / 11  # of the first update
        for before, now, average in zip(
            state["trainable"], after["trainable"], after["ema"], strict=False
        ):
            expected = decay * before + (1 - decay) * np.asarray(now)
            np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-6)


class TestSchedule:
    def test_halving_halves_five_times_at_equal_intervals(self):
        rates = [learning_rate(TrainingConfig(), p) for p in np.linspace(0, 1, 601)]
        assert rates[0] == 1e-3
        assert rates[-1] == 1e-3 / 32
        assert sorted({round(1e-3 / rate) for rate in rates}) == [1, 2, 4, 8, 16, 32]
        assert learning_rate(TrainingConfig(), 1 / 6 - 1e-9) == 1e-3

    def test_cosine_falls_from_the_rate_to_zero(self):
        config = TrainingConfig(lr_schedule="cosine")
        assert learning_rate(config, 0.0) == 1e-3
        assert learning_rate(config, 0.5) == pytest.approx(5e-4)
        assert learning_rate(config, 1.0) == pytest.approx(0)

    def test_progress_is_by_steps_or_minutes(self):
        config = TrainingConfig(steps=100, max_minutes=10)
        assert Clock(config, step=30).progress == pytest.approx(0.3, abs=0.01)
        assert Clock(config, step=30, minutes=7).progress == pytest.approx(0.7, abs=0.01)
        assert Clock(config, step=200).progress == 1

    def test_phases_follow_progress(self):
        config = TrainingConfig(num_states=(4, 12), patch_size=(29, 45), phase_ends=(0.6,))
        assert phase_at(config, 0.59).num_states == 4
        assert phase_at(config, 0.6).patch_size == 45
        assert phase_at(config, 1.0).batch_size == 16

    @pytest.mark.parametrize(
        "wrong",
        [
            {"steps": 0},
            {"precision": "int8"},
            {"patch_size": (46,)},
            {"num_states": (12, 4), "phase_ends": (0.5,)},
            {"num_states": (4, 12)},
            {"phase_ends": (0.5, 0.4)},
            {"ema_decay": 1.0},
            {"learning_rate": -1.0},
        ],
        ids=str,
    )
    def test_wrong_settings_name_their_flag(self, wrong):
        with pytest.raises(NLRNError, match="--(" + "|".join(wrong) + ")"):
            TrainingConfig(**wrong)


def test_growth_copies_the_last_state():
    """The grown network has the old one's convolutions, and its last norms once more."""
    config = dataclasses.replace(SMALL, ema_decay=0.9)
    small, large = _model(config, num_states=2), _model(config, num_states=4)
    rng = np.random.default_rng(0)
    small.set_weights([rng.random(w.shape) for w in small.get_weights()])
    grown = grow_state(first_state(small, config), large)
    for variable, old, new in zip(
        large.trainable_variables, small.trainable_variables, grown["trainable"], strict=True
    ):
        assert new.shape == tuple(variable.shape)
        np.testing.assert_array_equal(new[: old.shape[0]], old.numpy())
        for row in range(old.shape[0], new.shape[0]):
            np.testing.assert_array_equal(new[row], old.numpy()[-1])
    assert [m.shape for m in grown["ema"]] == [tuple(v.shape) for v in _ordered(large)]
    with pytest.raises(NLRNError, match="cannot grow"):
        grow_state(grown, small)


def _ordered(model):
    return model.trainable_variables + model.non_trainable_variables


class TestCheckpoint:
    def test_round_trip(self, tmp_path, rng):
        state = first_state(_model(SMALL), SMALL)
        written = Checkpoint(state, 7, 28, 1.5, 2, 1, 20.5, [{"step": 7}], {"seed": 3})
        save_checkpoint(tmp_path, written, keep=2)
        read = latest_checkpoint(tmp_path)
        for x, y in zip(_arrays(read.state), _arrays(state), strict=True):
            np.testing.assert_array_equal(x, y)
        assert dataclasses.replace(read, state={}) == dataclasses.replace(written, state={})

    def test_only_the_newest_are_kept(self, tmp_path):
        for step in (5, 10, 15):
            save_checkpoint(tmp_path, Checkpoint({"trainable": [np.zeros(1)]}, step), keep=2)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["step-00000010.npz", "step-00000015.npz"]

    def test_a_damaged_one_is_named(self, tmp_path):
        path = save_checkpoint(tmp_path, Checkpoint({"trainable": [np.zeros(99)]}, 5), keep=1)
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(NLRNError, match=path.name):
            latest_checkpoint(tmp_path)

    def test_a_full_disk_leaves_the_older_one(self, tmp_path, monkeypatch):
        state = {"trainable": [np.arange(4.0)]}
        save_checkpoint(tmp_path, Checkpoint(state, 1), keep=1)

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez", full)
        with pytest.raises(NLRNError, match="No space left"):
            save_checkpoint(tmp_path, Checkpoint(state, 2), keep=1)
        assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.npz"]


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
        """Through a phase change, with EMA, and in a new process state: the run starts anew."""
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

    def test_a_finished_run_is_left_as_it_is(self, photos, tmp_path):
        train(SMALL, workdir=tmp_path, data_dir=photos)
        before = (tmp_path / "weights.keras").stat().st_mtime_ns
        train(SMALL, workdir=tmp_path, data_dir=photos)
        assert (tmp_path / "weights.keras").stat().st_mtime_ns == before

    def test_a_work_folder_of_another_run_is_refused(self, photos, tmp_path):
        train(SMALL, workdir=tmp_path, data_dir=photos)
        other = dataclasses.replace(SMALL, noise_sigma=50.0)
        with pytest.raises(NLRNError, match="--noise_sigma"):
            train(other, workdir=tmp_path, data_dir=photos)

    def test_starts_from_given_weights(self, photos, tmp_path):
        first = train(SMALL, workdir=tmp_path / "a", data_dir=photos)
        config = dataclasses.replace(SMALL, steps=1, learning_rate=1e-12)
        second = train(config, workdir=tmp_path / "b", data_dir=photos, init_weights=str(first))
        a, b = nlrn_tf.load_model(first), nlrn_tf.load_model(second)
        for x, y in zip(a.trainable_variables, b.trainable_variables, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)
        narrow = dataclasses.replace(SMALL, filters=4)
        with pytest.raises(NLRNError, match="--filters"):
            train(narrow, workdir=tmp_path / "c", data_dir=photos, init_weights=str(first))

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

    def test_one_super_resolution_network_for_three_scales(self, photos, tmp_path):
        config = dataclasses.replace(SMALL, task="sr", steps=2, scale_augmentation=(1.0, 0.8))
        weights = train(config, workdir=tmp_path, data_dir=photos)
        found = nlrn_tf.load_model(weights).config
        assert (found.task, found.scales, found.noise_sigma) == ("sr", (2, 3, 4), None)

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


@pytest.mark.parametrize("backend", ["jax"])
def test_another_backend_gives_the_same_output_and_first_updates(tmp_path, rng, backend):
    """From one weights file and one batch, two steps and a forward pass in windows."""
    pytest.importorskip(backend)
    model = _model(SMALL)
    nlrn_tf.packaged.save_model(model, tmp_path / "start.keras")
    degraded, clean = _batch(rng)
    image = rng.random((1, 20, 23, 1)).astype("float32")
    np.savez(tmp_path / "data.npz", degraded=degraded, clean=clean, image=image)
    script = Path(__file__).parent / "two_steps.py"
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
            # The gradient of a bias before a batch norm is 0 but for rounding, which Adam enlarges.
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
