"""Keras loads our files where the package was imported, in whatever order, and not before."""

import subprocess
import sys

import pytest

from nlrn_tf.weights.manifest import WEIGHTS_DIR

FILE = WEIGHTS_DIR / "denoise_lite_s25.keras"

LOADING = f"""
model = keras.saving.load_model({str(FILE)!r})
assert type(model).__name__ == "NLRN", type(model)
assert model.config.noise_sigma == 25
assert not [each for each in sys.meta_path if type(each).__module__.startswith("nlrn_tf")]
"""


def test_importing_the_package_loads_no_keras():
    run("import sys, nlrn_tf; assert not {'keras', 'nlrn_tf.model'} & {*sys.modules}")


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("first", ["layers.similarity", "studies.complexity", "weights.loading"])
def test_any_module_may_be_the_first(first):
    run(f"import nlrn_tf.{first}, sys; assert 'keras' in sys.modules; import nlrn_tf.model")


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        "import importlib.util, sys, nlrn_tf\n"
        "assert 'keras' not in sys.modules and 'nlrn_tf.model' not in sys.modules\n"
        "assert importlib.util.find_spec('keras')\n"  # looking for it is not importing it
        "import keras",
        "import sys, keras, nlrn_tf",
        "import sys, nlrn_tf, tensorflow as tf; keras = tf.keras; keras.saving = keras.models",
    ],
    ids=["before", "after", "through TensorFlow"],
)
def test_keras_knows_the_network(imports):
    run(imports + LOADING)
