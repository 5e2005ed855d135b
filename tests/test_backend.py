"""What differs between the backends gives the same on each of them: what NumPy gives."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from nlrn_tf import backend
from nlrn_tf.errors import NLRNError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_results_are_those_of_numpy(tmp_path, name):
    pytest.importorskip(name)
    script = ROOT / "tests" / "support" / "on_backend.py"
    environment = {**os.environ, "KERAS_BACKEND": name, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(tmp_path / "results.npz")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    results = np.load(tmp_path / "results.npz")

    rng = np.random.default_rng(0)
    inputs = rng.normal(3, 2, (2, 5, 4, 6)).astype("float32")
    mean, variance, gamma, beta = rng.uniform(0.5, 2, (4, 6)).astype("float32")
    batch_mean, batch_variance = inputs.mean((0, 1, 2)), inputs.var((0, 1, 2))

    def normalized(mean, variance):
        return (inputs - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    expected = {
        "normalized": normalized(mean, variance),
        "by_batch": normalized(batch_mean, batch_variance),
        "mean": batch_mean,
        "variance": batch_variance,
        "auxiliary": mean.sum(),
        "gradient 0": 3 * mean**2 * variance,
        "gradient 1": mean**3,
        "gradient 2": np.zeros(6),
        "mapped": np.arange(3)[:, None] * mean,
        "in_one_pass": mean + variance,
        "doubled": 2 * inputs[..., :1],
        "tripled": 3 * inputs[..., :1],
        "batches": np.arange(6),
    }
    assert set(results) == set(expected)
    for result, value in expected.items():
        np.testing.assert_allclose(results[result], value, rtol=1e-4, atol=1e-5, err_msg=result)


def test_what_a_backend_lacks_is_named(monkeypatch):
    backend.require_tensorflow("export")
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(NLRNError, match="KERAS_BACKEND=torch: export needs tensorflow"):
        backend.require_tensorflow("export")
    with pytest.raises(NLRNError, match="KERAS_BACKEND=torch: training needs tensorflow or jax"):
        backend.compiled(abs)


def test_a_graph_for_inference_is_made_once_for_all_sizes():
    traces = []

    def identity(images):
        traces.append(1)
        return images

    call = backend.compiled_for_inference(identity, (None, None))
    for size in [(3, 4), (9, 2)]:
        assert call(np.zeros((1, *size, 1), "float32")).shape == (1, *size, 1)
    assert len(traces) == 1


def test_a_device_without_enough_memory_raises_a_memory_error():
    def fail(images):
        def raise_error(_):
            raise MemoryError("out of memory")  # TensorFlow makes a ResourceExhaustedError of it

        return tf.numpy_function(raise_error, [images], tf.float32)

    call = backend.compiled_for_inference(fail, (None, None))
    with pytest.raises(MemoryError, match="out of memory"):
        call(np.zeros((1, 2, 2, 1), "float32"))


def test_turns_of_a_map_are_bounded():
    """With one turn at a time none begins before the one before has ended."""
    under_way, most = [], []

    def turn(number):
        def work(number):
            under_way.append(number)
            most.append(len(under_way))
            time.sleep(0.01)  # the others go on meanwhile
            under_way.pop()
            return np.float32(number)

        return tf.ensure_shape(tf.numpy_function(work, [number], tf.float32, stateful=False), [])

    result = tf.function(lambda: backend.map_range(turn, 20, "float32"), autograph=False)()
    np.testing.assert_array_equal(result, np.arange(20))
    assert max(most) == 1


def test_it_is_light():
    """The scripts check their flags and print `--help` without Keras and TensorFlow."""
    heavy = "{'keras', 'tensorflow', 'jax'}"
    code = f"import sys, nlrn_tf.backend, nlrn_tf.config; print({heavy} & {{*sys.modules}})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_nobody_else_asks_for_the_backend():
    """No module but `backend.py` reads Keras' backend or imports JAX."""
    asking = set()
    for path in (ROOT / "nlrn_tf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "keras.backend.backend":
                asking.add(path.name)
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [getattr(node, "module", None), *(alias.name for alias in node.names)]
                if any((module or "").split(".")[0] in ("jax", "torch") for module in modules):
                    asking.add(path.name)
    assert asking == {"backend.py"}


def test_jax_traces_inference_once_for_each_shape_and_tells_of_missing_memory():
    pytest.importorskip("jax")
    script = ROOT / "tests" / "support" / "jax_inference.py"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(script)], env=environment, check=True, capture_output=True)
