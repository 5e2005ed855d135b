"""What people have in Keras' file of settings, for other programs, does not reach the network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

LIBRARY = """
import sys, keras, numpy as np, nlrn_tf
assert keras.config.image_data_format() == sys.argv[2]
image = np.random.default_rng(0).integers(0, 256, (190, 200), np.uint8)
np.save(sys.argv[1], nlrn_tf.restore(nlrn_tf.load_model("denoise_lite_s25"), image))
"""


def settings(folder, **given):
    folder.mkdir()
    (folder / "keras.json").write_text(json.dumps(given))
    return {**os.environ, "KERAS_HOME": str(folder)}


def settled(environment):
    """What a program makes of an environment, without loading Keras itself."""
    code = (
        "import os\nfrom nlrn_tf import cli, backend\n"
        "def main(_):\n    backend.settle()\n"
        "    print(os.environ['KERAS_BACKEND'], os.environ['KERAS_HOME'])\n"
        "cli.run(main)"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "backend"),
    [({"KERAS_BACKEND": ""}, "tensorflow"), ({"KERAS_BACKEND": "tensorflow"}, "tensorflow")],
)
def test_a_program_takes_its_backend_from_the_environment_alone(environment, backend):
    done = settled({**environment, "KERAS_HOME": "of the user"})
    assert done.stdout.split() == [backend, os.devnull]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("theano", "must be one of tensorflow, jax, torch; unset it for tensorflow"),
        ("numpy", "must be one of tensorflow, jax, torch; unset it for tensorflow"),
    ],
)
def test_a_backend_that_cannot_be_is_one_line(chosen, words):
    done = settled({"KERAS_BACKEND": chosen})
    assert done.returncode == 1
    assert done.stderr == f"-c: KERAS_BACKEND={chosen}: {words}\n"


def test_a_backend_that_is_not_installed_is_one_line(monkeypatch):
    from nlrn_tf import backend
    from nlrn_tf.errors import NLRNError

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NLRNError, match="KERAS_BACKEND=torch: torch is not installed; unset it"):
        backend.settle()


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"backend": "torch", "floatx": "float16", "image_data_format": "channels_first"},
        {"floatx": "of another program"},
    ],
    ids=["other settings", "damaged settings"],
)
def test_a_program_does_not_read_the_settings(tmp_path, given):
    from nlrn_tf.imaging.files import write_image

    write_image(tmp_path / "in.png", np.zeros((9, 9), np.uint8))
    command = [sys.executable, ROOT / "run_restore.py", tmp_path / "in.png", "-o"]
    done = subprocess.run(
        [*map(str, command), str(tmp_path / "out.png"), "--weights=denoise_lite"],
        env=settings(tmp_path / "home", **given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_library_restores_the_same_under_other_settings(tmp_path, backend):
    pytest.importorskip(backend)
    results = []
    for number, (floatx, data_format) in enumerate(
        [("float32", "channels_last"), ("float16", "channels_first")]
    ):
        path = tmp_path / f"{number}.npy"
        home = settings(tmp_path / str(number), floatx=floatx, image_data_format=data_format)
        subprocess.run(
            [sys.executable, "-c", LIBRARY, path, data_format],
            env={**home, "KERAS_BACKEND": backend},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        results.append(np.load(path).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1  # rounding of a half
