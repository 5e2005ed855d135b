"""Training of a network that works on the small image."""

import dataclasses

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.training.state import first_state
from nlrn_tf.training.step import TrainingStep
from nlrn_tf.training.trainer import train
from tests.support.training import SMALL, new_model


def _enlarging(rng):
    """A network that enlarges by 2 and 3, and a batch in which one image is known at each."""
    config = dataclasses.replace(
        SMALL,
        task="sr",
        scales=(2, 3),
        network=dataclasses.replace(SMALL.network, upsample="after"),
    )
    model = new_model(config)
    degraded = rng.random((2, 9, 9, 1)).astype("float32")
    clean = rng.random((2, 9, 9, 13)).astype("float32")
    clean[0, ..., 4:] = clean[1, ..., :4] = np.nan
    return model, config, (degraded, clean)


def test_of_sub_pixels_the_known_ones_count_each_image_alike(rng):
    model, config, (degraded, clean) = _enlarging(rng)
    _, metrics = TrainingStep(model, config)(first_state(model, config), [(degraded, clean)], 1e-3)
    errors = np.square(255 * (np.asarray(model(degraded, training=True)) - clean))
    each = [np.mean(error[~np.isnan(error)]) for error in errors]
    assert float(metrics["loss"]) == pytest.approx(0.5 * np.mean(each), rel=1e-4)


def test_what_is_not_known_moves_nothing_and_a_broken_network_is_seen(rng):
    model, config, (degraded, clean) = _enlarging(rng)
    clean[1] = clean[0]  # nothing is known of scale 3
    state = first_state(model, config)
    after, metrics = TrainingStep(model, config)(state, [(degraded, clean)], 1e-3)
    assert metrics["finite"] == 1
    for name in ("x2/kernel", "x2/bias", "x3/kernel", "x3/bias"):
        moment = np.abs(after["momentum"][f"conv_out/{name}"])
        assert (moment.max() > 0) == name.startswith("x2"), name
    state["trainable"]["conv_out/x2/bias"][:] = np.nan
    _, metrics = TrainingStep(model, config)(state, [(degraded, clean)], 1e-3)
    assert metrics["finite"] == 0


def test_growing_on_the_small_image_and_resuming_equals_an_uninterrupted_run(photos, tmp_path):
    network = dataclasses.replace(SMALL.network, upsample="after")
    whole = dataclasses.replace(
        SMALL,
        **{"task": "sr", "network": network, "steps": 6, "phase_ends": (0.5,)},
        **{"filters": (6, 12), "embedding_size": (3, 6), "num_states": (1, 2)},
        **{"lr_schedule": "halving", "lr_halvings": 0},
    )
    begun = dataclasses.replace(whole, steps=4, phase_ends=(0.75,))
    for config, folder in ((whole, "one"), (begun, "two"), (whole, "two")):
        weights = train(config, workdir=tmp_path / folder, data_dir=photos)
    ours, theirs = (nlrn_tf.load_model(tmp_path / each / weights.name) for each in ("one", "two"))
    assert ours.config.filters == 12
    for one, two in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_denoiser_enlarges_nothing():
    network = dataclasses.replace(SMALL.network, upsample="after", scales=())
    with pytest.raises(NLRNError, match="upsample=after is not allowed: give before"):
        dataclasses.replace(SMALL, network=network)


def test_a_start_that_enlarges_elsewhere_is_refused(photos, tmp_path):
    network = dataclasses.replace(SMALL.network, upsample="after")
    config = dataclasses.replace(SMALL, task="sr", steps=1, network=network)
    start = train(config, workdir=tmp_path / "a", data_dir=photos)
    other_scales = dataclasses.replace(config, scales=(2, 3))
    before = dataclasses.replace(SMALL, task="sr", steps=1)
    for other, words in (
        (before, "upsample=after, but before is to be trained"),
        (other_scales, r"scales=\(2, 3, 4\), but \(2, 3\) is to be trained"),
    ):
        with pytest.raises(NLRNError, match=words):
            train(other, workdir=tmp_path / "b", data_dir=photos, init_weights=str(start))
