"""Training with the statistics of the batch norms standing still, as they do in use."""

import dataclasses
import shutil

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.training.checkpoint import latest_checkpoint, load_checkpoint
from nlrn_tf.training.settings import Phase
from nlrn_tf.training.state import first_state
from nlrn_tf.training.step import TrainingStep
from nlrn_tf.training.trainer import train
from tests.support.training import SMALL, arrays, new_batch, new_model, settle

GROWING = dataclasses.replace(SMALL, num_states=(1, 2), phase_ends=(0.5,))


def frozen_model(config, images, rng):
    model = new_model(config)
    model.set_weights([w + rng.uniform(0.05, 0.2, w.shape) for w in model.get_weights()])
    settle(model, images)
    model.freeze_norms()
    return model


@pytest.mark.parametrize("unroll", [False, True])
def test_the_loss_is_that_of_the_network_in_use(rng, unroll):
    degraded, clean = new_batch(rng)
    network = dataclasses.replace(SMALL.network, unroll=unroll)
    config = dataclasses.replace(SMALL, network=network)
    model = frozen_model(config, degraded[:1], rng)  # not the statistics of the batch
    error = np.asarray(model(degraded)) - clean
    _, metrics = TrainingStep(model, config)(first_state(model, config), [(degraded, clean)], 1e-3)
    assert float(metrics["mse"]) == pytest.approx(np.mean(error**2), rel=1e-4)
    thawed = new_model(config)
    thawed.set_weights(model.get_weights())
    _, by_batch = TrainingStep(thawed, config)(
        first_state(thawed, config), [(degraded, clean)], 1e-3
    )
    assert float(by_batch["mse"]) != pytest.approx(float(metrics["mse"]), rel=1e-2)


def test_a_step_moves_the_weights_and_no_statistics(rng):
    degraded, clean = new_batch(rng)
    model = frozen_model(SMALL, degraded, rng)
    state = first_state(model, SMALL)
    after, _ = TrainingStep(model, SMALL)(state, [(degraded, clean)], 1e-3)
    for name, values in state["non_trainable"].items():
        np.testing.assert_array_equal(after["non_trainable"][name], values, name)
    for name in ("recurrent/norm_b/gamma", "recurrent/norm_a/beta", "norm_out/gamma"):
        assert np.abs(np.asarray(after["trainable"][name]) - state["trainable"][name]).max() > 5e-4


@pytest.mark.parametrize(
    ("freeze", "ends"),
    [
        (1.0, [(0.5, False), (1.0, False)]),
        (0.8, [(0.5, False), (0.8, False), (1.0, True)]),
        (0.5, [(0.5, False), (1.0, True)]),
        (0.2, [(0.2, False), (0.5, True), (1.0, True)]),
        (0.0, [(0.5, True), (1.0, True)]),
    ],
)
def test_a_phase_is_divided_where_the_norms_freeze(freeze, ends):
    phases = dataclasses.replace(GROWING, freeze_norms_at=freeze).phases()
    assert [(phase.end, phase.frozen) for phase in phases] == ends
    for phase in phases:
        size = dataclasses.replace(phase, end=0.0, frozen=False)
        assert size == Phase(6, 3, 1 if phase.end <= 0.5 else 2, 9, 4, 0.0)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_beyond_the_training_is_refused(share):
    with pytest.raises(NLRNError, match="freeze_norms_at"):
        dataclasses.replace(SMALL, freeze_norms_at=share)


def test_a_run_keeps_the_statistics_of_the_middle_and_resumes(photos, tmp_path):
    config = dataclasses.replace(
        SMALL, freeze_norms_at=0.5, checkpoint_steps=1, keep_checkpoints=20, ema_decay=0.9
    )
    train(config, workdir=tmp_path / "whole", data_dir=photos)
    kept = tmp_path / "whole" / "checkpoints"
    states = {step: load_checkpoint(kept / f"step-{step:08d}.npz").state for step in (3, 4, 6, 8)}
    middle = states[4]["non_trainable"]
    for step, state in states.items():
        same = [np.array_equal(state["non_trainable"][name], middle[name]) for name in middle]
        assert all(same) if step > 3 else not any(same)
    for folder in (tmp_path / "cut", tmp_path / "cut" / "checkpoints"):
        folder.mkdir()
    shutil.copy(kept / "step-00000006.npz", tmp_path / "cut" / "checkpoints")
    train(config, workdir=tmp_path / "cut", data_dir=photos)
    resumed = latest_checkpoint(tmp_path / "cut" / "checkpoints").state
    for found, expected in zip(arrays(resumed), arrays(states[8]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
