"""Every variant of Tables 1 and 2 trains, in a loop and unrolled, and attends alike everywhere."""

import dataclasses

import keras
import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.precision import POLICIES
from nlrn_tf.restoration.inference import apply_model
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.state import first_state
from nlrn_tf.training.step import TrainingStep
from tests.support.training import new_batch, settle
from tests.support.variants import SIZES, VARIANTS

QUICK = [VARIANTS[4]]  # dot products: the one that nothing bounds
CASES = [
    pytest.param(changes, id=str(changes), marks=() if changes in QUICK else pytest.mark.slow)
    for changes in VARIANTS
]


def new_network(changes, precision="float32", **options):
    keras.utils.set_random_seed(1)
    config = nlrn_tf.NLRNConfig(**{**SIZES, **changes, **options})
    return nlrn_tf.NLRN(config, dtype=POLICIES[precision])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", CASES)
def test_three_steps_are_finite_and_the_same_in_a_loop_and_unrolled(rng, changes, precision):
    batches = [[new_batch(rng, 2, 7)] for _ in range(3)]
    config = TrainingConfig(precision=precision)
    losses = []
    for unroll in (False, True):
        model = new_network(changes, precision, unroll=unroll)
        step, state = TrainingStep(model, config), first_state(model, config)
        seen = []
        for batch in batches:
            state, metrics = step(state, batch, 1e-3)
            assert metrics["finite"] == 1
            seen.append(float(metrics["loss"]))
        assert all(np.isfinite(x).all() for x in state["trainable"].values())
        losses.append(seen)
    tolerance = 1e-4 if precision == "float32" else 0.02
    np.testing.assert_allclose(*losses, rtol=tolerance)


@pytest.mark.parametrize("changes", CASES)
def test_an_image_that_fits_the_window_is_the_same_densely_and_in_windows(rng, changes):
    model = new_network(changes)
    model.set_weights([w + rng.uniform(0.05, 0.2, w.shape) for w in model.get_weights()])
    images = rng.random((2, 6, 7, 1), "float32")
    settle(model, images)
    dense, windowed = np.asarray(model(images)), apply_model(model, images)
    scale = np.abs(dense - images).max()
    assert scale > 1e-3
    np.testing.assert_allclose(windowed / scale, dense / scale, atol=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("similarity", ["dot_product", "embedded_dot_product"])
def test_dot_products_of_large_features_neither_overflow_nor_are_lost(rng, similarity, precision):
    """Nothing bounds them: features of some tens, as of trained scales, in many channels."""
    sizes = {"filters": 64, "embedding_size": 32, "similarity": similarity}
    outputs = {}
    for name in ("float32", precision):
        model = new_network(sizes, name)
        generator = np.random.default_rng(0)
        model.set_weights([w + generator.normal(0, 0.05, np.shape(w)) for w in model.get_weights()])
        model.recurrent.norm_non_local.gamma.assign(np.full((4, 64), 8.0))
        images = np.random.default_rng(1).random((2, 7, 7, 1), "float32")
        outputs[name] = np.asarray(model(images, training=True)) - images
    exact, rounded = outputs["float32"], outputs[precision]
    assert np.isfinite(rounded).all()
    error = np.sqrt(np.mean((rounded - exact) ** 2) / np.mean(exact**2))
    assert error < 0.1


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 330_625),
        ({"non_local_every": 0}, 297_601),
        ({"non_local_every": 0, "filters": 135}, 330_886),
    ],
    ids=str,
)
def test_the_networks_of_the_paper_have_its_numbers_of_parameters(changes, count):
    model = nlrn_tf.NLRN(dataclasses.replace(nlrn_tf.NLRNConfig(), **changes))
    counts = {True: 0, False: 0}
    for variable in model.trainable_variables:
        counts["norm" in variable.path] += int(np.prod(variable.shape))
    assert counts[False] == count
    if not changes:
        assert counts[True] == 9_474
