import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.weights.released import import_checkpoint, import_saved_model

SCRIPT = Path(__file__).resolve().parents[2] / "data_tools" / "import_released.py"


def test_the_script_writes_a_loadable_file(reference_dir, tmp_path):
    output = tmp_path / "released.keras"
    folder = reference_dir / "released_sigma15"
    command = [f"--saved_model={folder}", f"--output={output}", "--noise_sigma=15"]
    subprocess.run([sys.executable, str(SCRIPT), *command], check=True)
    model = nlrn_tf.load_model(output)
    assert (model.config.num_states, model.config.noise_sigma) == (12, 15)
    assert model.config.task == "denoise"
    io = np.load(reference_dir / "released_sigma15_io.npz")
    output = np.clip(model(io["patches"]), 0, 1)
    np.testing.assert_allclose(output, io["patches_out"], atol=1e-5)


def save_v0(folder):
    """A checkpoint as NLRN_v0 saves it, with every variable; its prefix, and the values."""
    shapes = {"conv1/kernel": (3, 3, 1, 4), "conv_end/kernel": (3, 3, 4, 1)}
    shapes |= {f"rnn/non_local_{name}/kernel": (1, 1, 4, 2) for name in ("theta", "phi")}
    shapes |= {"rnn/non_local_g/kernel": (1, 1, 4, 4)}
    shapes |= {f"rnn/RB1_{name}/kernel": (3, 3, 4, 4) for name in "ab"}
    shapes |= {name.replace("kernel", "bias"): shape[-1:] for name, shape in shapes.items()}
    norms = {"batch_normalization": (1,), "batch_normalization_1": (4,)}
    norms |= {f"rnn/batch_normalization_{k}".removesuffix("_0"): (4,) for k in range(6)}
    for norm, shape in norms.items():
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            shapes[f"{norm}/{part}"] = shape
    shapes["conv1/kernel/Adam"] = (3, 3, 1, 4)
    rng = np.random.default_rng(0)
    values = {f"model/{name}": rng.random(shape, np.float32) for name, shape in shapes.items()}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in values.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver().save(session, str(folder / "model")), values


def test_a_nlrn_v0_checkpoint_with_its_optimizer_variables(tmp_path):
    """Those of Adam are left out."""
    prefix, values = save_v0(tmp_path)
    model = import_checkpoint(prefix, task="denoise")
    assert model.config.num_states == 2
    for state, norm, number in [(0, "norm_a", 1), (1, "norm_non_local", 3), (1, "norm_b", 5)]:
        beta = getattr(model.recurrent, norm).beta[state]
        np.testing.assert_array_equal(beta, values[f"model/rnn/batch_normalization_{number}/beta"])


@pytest.mark.parametrize("suffix", ["data-00000-of-00001", "index"])
def test_damaged_files_are_refused(tmp_path, suffix):
    prefix, _ = save_v0(tmp_path)
    path = Path(f"{prefix}.{suffix}")
    sound = path.read_bytes()
    flipped = bytearray(sound)
    flipped[len(sound) // 2] ^= 1
    lengths = (0, 1, 100, len(sound) // 2, len(sound) - 1)
    for content in (*(sound[:length] for length in lengths), bytes(flipped), bytes(len(sound))):
        path.write_bytes(content)
        with pytest.raises(NLRNError) as caught:
            import_checkpoint(prefix)
        assert str(caught.value).startswith(f"{prefix}: not a readable TensorFlow checkpoint (")
        assert str(caught.value).isprintable()
    path.unlink()
    with pytest.raises(NLRNError, match="not a readable TensorFlow checkpoint"):
        import_checkpoint(prefix)


def test_other_folders_and_checkpoints_are_refused(tmp_path):
    with pytest.raises(NLRNError, match="not a SavedModel"):
        import_saved_model(tmp_path)
    with pytest.raises(NLRNError, match="not a readable"):
        import_checkpoint(tmp_path / "nothing")
    prefix = tf.train.Checkpoint(x=tf.Variable(1.0)).save(str(tmp_path / "other"))
    with pytest.raises(NLRNError, match="not the variables of an NLRN"):
        import_checkpoint(prefix)
