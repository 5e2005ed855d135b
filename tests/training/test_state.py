"""The state of training by name, and checkpoints in which arrays had numbers."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.model import NLRN
from nlrn_tf.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.start import network_config, resumed_run
from nlrn_tf.training.state import first_state, named, variables_of, weights
from tests.support.training import SMALL, new_model

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"


def numbered(state):
    return {
        part: {f"{number:03d}": value for number, value in enumerate(values.values())}
        for part, values in state.items()
    }


def test_each_variable_has_a_name_of_its_own():
    model = new_model(SMALL)
    names = variables_of(model)["ema"]
    assert len(names) == len(model.variables)
    assert "recurrent/conv_a/kernel" in names


def test_numbers_become_names_in_the_order_of_the_network(rng):
    model = new_model(SMALL)
    model.set_weights([rng.random(weight.shape) for weight in model.get_weights()])
    state = first_state(model, SMALL)
    back = named(numbered(state), model)
    for part, values in state.items():
        assert list(back[part]) == list(values)
        for name, value in values.items():
            np.testing.assert_array_equal(back[part][name], value)


@pytest.mark.parametrize("path", sorted(CHECKPOINTS.rglob("*.npz")), ids=lambda path: path.name)
def test_the_checkpoints_of_the_repository_go_on(path, tmp_path):
    """Their weights are those that were packaged with them, by name and shape."""
    run = load_checkpoint(path)
    shutil.copytree(path.parent, tmp_path / "checkpoints")
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in run.config.items()}
    config = TrainingConfig.of(**settings)
    resumed = resumed_run(config, tmp_path)
    assert resumed.step == run.step
    model = NLRN(network_config(config, resumed))
    for name, variable in variables_of(model)["ema"].items():
        assert weights(resumed.state)[name].shape == tuple(variable.shape), name
    for part, names in variables_of(model).items():
        assert set(resumed.state[part]) in (set(names), set()), part
    moving = [v for n, v in resumed.state["non_trainable"].items() if n.endswith("variance")]
    assert moving
    assert all((variance > 0).all() for variance in moving)


def test_a_checkpoint_keeps_the_names(tmp_path):
    state = first_state(new_model(SMALL), SMALL)
    read = load_checkpoint(save_checkpoint(tmp_path, Checkpoint(state, 3), keep=1)).state
    assert {part: set(values) for part, values in read.items()} == {
        part: set(values) for part, values in state.items()
    }
