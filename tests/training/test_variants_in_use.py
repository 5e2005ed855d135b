"""Every variant of Tables 1 and 2 grows, goes on, is exported, and is the same under JAX."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.training.checkpoint import latest_checkpoint
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.trainer import train
from tests.support.export import export_small_network, run_by_c_api
from tests.support.training import SMALL, arrays
from tests.support.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = ("float32", "bfloat16", "float16")

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("precision", "changes"),
    [(PRECISIONS[number % 3], changes) for number, changes in enumerate(VARIANTS)],
    ids=str,
)
def test_a_run_that_grows_and_is_interrupted_ends_as_an_uninterrupted_one(
    photos, tmp_path, precision, changes
):
    grows = {"num_states": (2, 4), "phase_ends": (0.5,), "filters": (changes.get("filters", 6),)}
    network = {name: value for name, value in changes.items() if name != "filters"}
    settings = {**SMALL.flat(), "precision": precision, "validation_images": (), **grows, **network}
    config = TrainingConfig.of(**{**settings, "steps": 6, "checkpoint_steps": 2})
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    train(config, workdir=whole, data_dir=photos)
    shutil.copytree(whole, cut)
    for path in [*cut.glob("*.keras"), *sorted((cut / "checkpoints").glob("*.npz"))[-2:]]:
        path.unlink()
    assert latest_checkpoint(cut / "checkpoints").step < 6
    train(config, workdir=cut, data_dir=photos)
    ends = [latest_checkpoint(folder / "checkpoints").state for folder in (whole, cut)]
    for one, other in zip(*map(arrays, ends), strict=True):
        np.testing.assert_array_equal(one, other)
    model = nlrn_tf.load_model(cut / "weights.keras")
    for name, value in {**changes, "num_states": 4}.items():
        assert getattr(model.config, name) == value


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_an_exported_network_restores_as_the_network_does(tmp_path, rng, changes):
    sizes = {"num_states": 4, **changes}
    export = export_small_network(tmp_path, task="denoise", noise_sigma=25.0, **sizes)
    image = rng.random((1, 19, 23, 1), "float32")
    found = run_by_c_api(export.folder, [("serving_default", {"inputs": image})])["results"][0]
    expected = nlrn_tf.restore(export.model, image[0, ..., 0])
    assert np.abs(expected - image[0, ..., 0]).max() > 0.01
    np.testing.assert_allclose(found["output"][0, ..., 0], expected, atol=5e-5)


def test_jax_gives_the_same_for_every_variant(tmp_path):
    found = []
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.support.variants", str(path)]
        subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
        found.append(dict(np.load(path)))
    assert len(found[0]) == 4 * len(VARIANTS)
    for name, value in found[0].items():
        assert np.isfinite(value).all()
        np.testing.assert_allclose(found[1][name], value, rtol=2e-3, atol=1e-4, err_msg=name)
