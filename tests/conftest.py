"""Where the tests find data sets and oracles, and small helpers for all of them."""

import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # else Gradio's client asks it at its start

# A shell that starts the tests in the background lets them ignore Ctrl-C, and so would the programs
# that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"

# The same examples in every run; `--hypothesis-profile=default` looks for others.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_addoption(parser):
    parser.addoption(
        "--mutations", type=int, default=300, help="Damaged files of each format to be tried."
    )


@pytest.fixture(scope="session")
def num_mutations(pytestconfig) -> int:
    """How many damaged files of each format are tried."""
    return pytestconfig.getoption("mutations")


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Calls run_train.py with flags, without the training: (exit code, TrainingConfig or None).

    `start.init_weights` is what the last call was to start from.
    """
    from nlrn_tf import cli
    from nlrn_tf.commands import train
    from nlrn_tf.training import trainer

    if "steps" not in flags.FLAGS:  # absl has one set of flags in a process
        train.define_flags()

    def call(*arguments):
        configs = []

        def take(config, *, init_weights, **folders):
            configs.append(config)
            call.init_weights = init_weights

        monkeypatch.setattr(trainer, "train", take)
        command = ["run_train.py", *map(str, arguments), f"--workdir={tmp_path / 'run'}"]
        monkeypatch.setattr(sys, "argv", command)
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            cli.run(train.main)
        return ended.value.code, (configs or [None])[0]

    return call


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The public data sets: `$NLRN_DATA_DIR`, else `shared/data` beside the repository."""
    return _folder("NLRN_DATA_DIR", SHARED / "data")


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The oracles: `$NLRN_REFERENCE_DIR`, else `shared/reference` beside the repository."""
    return _folder("NLRN_REFERENCE_DIR", SHARED / "reference")


@pytest.fixture(scope="module", autouse=True)
def seeded_module():
    """Keras draws the seeds of initial weights from Python's generator."""
    random.seed(0)


@pytest.fixture(autouse=True)
def seeded(seeded_module):
    random.seed(1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def denoiser():
    """A small denoiser, and the same served: see `serving_support.small_denoiser`."""
    from tests.support.serving import small_denoiser  # loads TensorFlow

    return small_denoiser()


@pytest.fixture(scope="module")
def ports(denoiser):
    """The ports of a server of the denoiser, by transport."""
    from serving.stand_in.endpoint import serving

    with serving(denoiser[1]) as ports:
        yield ports


def _folder(variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable) or default)
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set ${variable}")
    return folder
