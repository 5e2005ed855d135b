"""One training step, the schedule, growth and checkpoints."""

import dataclasses

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.precision import POLICIES
from nlrn_tf.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from nlrn_tf.training.growth import grow_state
from nlrn_tf.training.schedule import Clock, learning_rate, phase_at
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.state import first_state, name_of
from nlrn_tf.training.step import TrainingStep
from tests.support.training import SMALL, arrays, new_batch, new_model


class TestStep:
    def test_first_update_is_adams(self, rng):
        """The first step of Adam moves each weight by the learning rate against the gradient."""
        model = new_model(SMALL)
        state = first_state(model, SMALL)
        batch = new_batch(rng)
        after, metrics = TrainingStep(model, SMALL)(state, [batch], 1e-3)
        assert metrics["finite"] == 1
        name = "conv_out/kernel"
        moved = np.abs(np.asarray(after["trainable"][name]) - state["trainable"][name])
        np.testing.assert_allclose(moved.max(), 1e-3, rtol=1e-3)

    def test_batch_norms_may_have_a_rate_of_their_own(self, rng):
        model, batch = new_model(SMALL), new_batch(rng)
        state = first_state(model, SMALL)
        moved = []
        for rate in (1.0, 0.25):
            config = dataclasses.replace(SMALL, norms_rate=rate)
            after, _ = TrainingStep(model, config)(state, [batch], 1e-3)
            moved.append(
                {n: after["trainable"][n] - state["trainable"][n] for n in state["momentum"]}
            )
        norms = [name for name in moved[0] if name.endswith(("/gamma", "/beta"))]
        assert len(norms) == 10
        for name, move in moved[0].items():
            factor = 0.25 if name in norms else 1
            np.testing.assert_allclose(moved[1][name], factor * move, atol=1e-6, err_msg=name)

    def test_metrics_are_the_papers_loss(self, rng):
        model = new_model(SMALL)
        degraded, clean = new_batch(rng)
        _, metrics = TrainingStep(model, SMALL)(
            first_state(model, SMALL), [(degraded, clean)], 1e-3
        )
        error = np.asarray(model(degraded, training=True)) - clean
        assert float(metrics["mse"]) == pytest.approx(np.mean(error**2), rel=1e-4)
        assert float(metrics["loss"]) == pytest.approx(0.5 * np.mean((255 * error) ** 2), rel=1e-4)

    @pytest.mark.parametrize(("size", "rows"), [(5, slice(2, 7)), (4, slice(2, 6))])
    def test_the_loss_may_be_taken_on_the_centre(self, rng, size, rows):
        config = dataclasses.replace(SMALL, loss_center=size)
        model = new_model(config)
        degraded, clean = new_batch(rng)
        _, metrics = TrainingStep(model, config)(
            first_state(model, config), [(degraded, clean)], 1e-3
        )
        error = (np.asarray(model(degraded, training=True)) - clean)[:, rows, rows]
        assert float(metrics["loss"]) == pytest.approx(0.5 * np.mean((255 * error) ** 2), rel=1e-4)

    def test_gradient_is_that_of_finite_differences(self, rng):
        """Moments after one step from zero are 0.1 times the clipped gradient."""
        config = dataclasses.replace(SMALL, clip_norm=1e9)
        model = new_model(config)
        model.set_weights([w + rng.uniform(0.05, 0.2, w.shape) for w in model.get_weights()])
        state = first_state(model, config)
        degraded, clean = new_batch(rng)
        after, _ = TrainingStep(model, config)(state, [(degraded, clean)], 0.0)
        for name in (
            "conv_out/kernel",
            "recurrent/non_local/theta/kernel",
            "recurrent/norm_b/gamma",
        ):
            gradient = np.asarray(after["momentum"][name]) / 0.1
            place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)

            def loss(change, name=name, place=place):
                moved = {key: value.copy() for key, value in state["trainable"].items()}
                moved[name][place] += change
                output, _ = model.stateless_call(
                    [moved[name_of(v)] for v in model.trainable_variables],
                    [state["non_trainable"][name_of(v)] for v in model.non_trainable_variables],
                    degraded,
                    training=True,
                )
                error = np.asarray(output, "float64") - clean
                return 0.5 * np.mean((255 * error) ** 2)

            difference = (loss(1e-2) - loss(-1e-2)) / 2e-2
            assert gradient[place] == pytest.approx(difference, rel=0.05)

    def test_gradient_is_clipped_by_its_global_norm(self, rng):
        config = dataclasses.replace(SMALL, clip_norm=0.5)
        model = new_model(config)
        after, metrics = TrainingStep(model, config)(
            first_state(model, config), [new_batch(rng)], 1e-3
        )
        assert metrics["gradient_norm"] > 0.5
        norm = np.sqrt(sum(np.sum(np.square(m)) for m in after["momentum"].values())) / 0.1
        assert norm == pytest.approx(0.5, rel=1e-4)

    def test_accumulated_batches_give_the_mean_gradient(self, rng):
        """Two equal halves have the gradient of one of them."""
        config = dataclasses.replace(SMALL, clip_norm=1e9)
        model = new_model(config)
        batch = new_batch(rng)
        step = TrainingStep(model, config)
        once, _ = step(first_state(model, config), [batch], 1e-3)
        twice, _ = step(first_state(model, config), [batch, batch], 1e-3)
        for name, moment in once["momentum"].items():
            np.testing.assert_allclose(moment, twice["momentum"][name], rtol=1e-4, atol=1e-6)

    def test_a_step_without_a_finite_gradient_changes_nothing(self, rng):
        config = dataclasses.replace(SMALL, ema_decay=0.9)
        model = new_model(config)
        state = first_state(model, config)
        degraded, clean = new_batch(rng)
        degraded[0, 0, 0, 0] = np.nan
        after, metrics = TrainingStep(model, config)(state, [(degraded, clean)], 1e-3)
        assert metrics["finite"] == 0
        for before, now in zip(arrays(state), arrays(after), strict=True):
            np.testing.assert_array_equal(before, now)

    def test_float16_halves_its_loss_scale_after_an_overflow(self, rng):
        config = dataclasses.replace(SMALL, precision="float16")
        model = new_model(config, dtype=POLICIES["float16"])
        state = first_state(model, config)
        state["counters"]["loss_scale"] = np.float32(1e30)
        after, metrics = TrainingStep(model, config)(state, [new_batch(rng)], 1e-3)
        assert metrics["finite"] == 0
        assert np.isfinite(metrics["loss"])
        for part in ("trainable", "non_trainable", "momentum", "velocity"):
            for name, before in state[part].items():
                np.testing.assert_array_equal(before, after[part][name], err_msg=name)
        assert float(after["counters"]["loss_scale"]) == pytest.approx(0.5e30)
        assert float(after["counters"]["updates"]) == 0

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_low_precision_learns_like_float32(self, rng, precision):
        batches = [[new_batch(rng)] for _ in range(12)]
        losses = {}
        for name in ("float32", precision):
            config = dataclasses.replace(SMALL, precision=name)
            model = new_model(config, dtype=POLICIES[name])
            step, state = TrainingStep(model, config), first_state(model, config)
            losses[name] = []
            for batch in batches:
                state, metrics = step(state, batch, 3e-3)
                losses[name].append(float(metrics["loss"]))
            assert float(state["counters"]["updates"]) == 12
        np.testing.assert_allclose(losses[precision], losses["float32"], rtol=0.02)

    def test_averages_follow_the_weights(self, rng):
        config = dataclasses.replace(SMALL, ema_decay=0.5)
        model = new_model(config)
        state = first_state(model, config)
        after, _ = TrainingStep(model, config)(state, [new_batch(rng)], 1e-2)
        decay = 2 / 11  # of the first update
        for name, before in state["trainable"].items():
            expected = decay * before + (1 - decay) * np.asarray(after["trainable"][name])
            np.testing.assert_allclose(after["ema"][name], expected, rtol=1e-4, atol=1e-6)


class TestSchedule:
    def test_halving_halves_five_times_at_equal_intervals(self):
        rates = [learning_rate(TrainingConfig(), p) for p in np.linspace(0, 1, 601)]
        assert rates[0] == 1e-3
        assert rates[-1] == 1e-3 / 32
        assert sorted({round(1e-3 / rate) for rate in rates}) == [1, 2, 4, 8, 16, 32]
        assert learning_rate(TrainingConfig(), 1 / 6 - 1e-9) == 1e-3

    def test_without_halvings_the_rate_stays(self):
        config = TrainingConfig(lr_halvings=0)
        assert {learning_rate(config, p) for p in np.linspace(0, 1, 601)} == {1e-3}

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
            {"lr_halvings": -1},
            {"norms_rate": 0.0},
            {"loss_center": 46},
            {"initializer": "zeros"},
            {"num_states": (12, 4), "phase_ends": (0.5,)},
            {"num_states": (4, 12)},
            {"phase_ends": (0.5, 0.4)},
            {"ema_decay": 1.0},
            {"non_local_every": -1},
            {"learning_rate": -1.0},
            {"task": "deblur"},
            {"validation_crop": -5},
            {"task": "sr", "scales": ()},
            {"similarity": "cosine"},
        ],
        ids=str,
    )
    def test_wrong_settings_name_their_flag(self, wrong):
        with pytest.raises(NLRNError, match="(" + "|".join(wrong) + ")"):
            TrainingConfig.of(**wrong)


@pytest.mark.parametrize(
    ("non_local_every", "copied"),
    [(1, [3, 3, 3, 3]), (2, [2, 3, 2, 3]), (3, [1, 2, 3, 1]), (7, [0, 1, 2, 3]), (0, [3, 3, 3, 3])],
)
def test_growth_copies_the_last_state_of_the_kind(non_local_every, copied):
    """The grown network has the old one's convolutions, and its last norms once more."""
    config = dataclasses.replace(SMALL, ema_decay=0.9)
    network = dataclasses.replace(config.network, non_local_every=non_local_every)
    config = dataclasses.replace(config, network=network)
    small, large = new_model(config, num_states=4), new_model(config, num_states=8)
    rng = np.random.default_rng(0)
    small.set_weights([rng.random(w.shape) for w in small.get_weights()])
    grown = grow_state(first_state(small, config), large)
    for variable, old in zip(large.trainable_variables, small.trainable_variables, strict=True):
        new = grown["trainable"][name_of(variable)]
        assert new.shape == tuple(variable.shape)
        np.testing.assert_array_equal(new[: old.shape[0]], old.numpy())
        if new.shape != old.shape:
            np.testing.assert_array_equal(new[4:], old.numpy()[copied])
    shapes = {name: array.shape for name, array in grown["ema"].items()}
    assert shapes == {name_of(v): tuple(v.shape) for v in _ordered(large)}
    with pytest.raises(NLRNError, match="cannot grow"):
        grow_state(grown, small)


def _ordered(model):
    return model.trainable_variables + model.non_trainable_variables


class TestCheckpoint:
    def test_round_trip(self, tmp_path, rng):
        state = first_state(new_model(SMALL), SMALL)
        written = Checkpoint(
            state, 7, 28, 1.5, 2, 1, best=20.5, curve=[{"step": 7}], config={"seed": 3}
        )
        save_checkpoint(tmp_path, written, keep=2)
        read = latest_checkpoint(tmp_path)
        for x, y in zip(arrays(read.state), arrays(state), strict=True):
            np.testing.assert_array_equal(x, y)
        assert dataclasses.replace(read, state={}) == dataclasses.replace(written, state={})

    def test_only_the_newest_are_kept(self, tmp_path):
        for step in (5, 10, 15):
            save_checkpoint(tmp_path, Checkpoint({"trainable": {"a": np.zeros(1)}}, step), keep=2)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["step-00000010.npz", "step-00000015.npz"]

    def test_a_damaged_one_is_named(self, tmp_path):
        path = save_checkpoint(tmp_path, Checkpoint({"trainable": {"a": np.zeros(99)}}, 5), keep=1)
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(NLRNError, match=path.name):
            latest_checkpoint(tmp_path)

    def test_a_full_disk_leaves_the_older_one(self, tmp_path, monkeypatch):
        state = {"trainable": {"a": np.arange(4.0)}}
        save_checkpoint(tmp_path, Checkpoint(state, 1), keep=1)

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez", full)
        with pytest.raises(NLRNError, match="No space left"):
            save_checkpoint(tmp_path, Checkpoint(state, 2), keep=1)
        assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.npz"]
