import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from skimage import data

from nlrn_tf.config import NLRNConfig
from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.model import NLRN
from nlrn_tf.restoration.restorer import restore
from nlrn_tf.restoration.settings import OutputSettings, RestorationSettings
from nlrn_tf.weights.loading import load_model, save_model
from tests.support.script_calls import script_calls

SCRIPT = Path(__file__).resolve().parents[2] / "run_restore.py"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    keras.utils.set_random_seed(3)
    config = NLRNConfig(
        filters=8, embedding_size=4, num_states=2, window_size=7, task="denoise", noise_sigma=25
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.keras"
    save_model(NLRN(config), path)
    return path


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def complaint(result, code):
    """The one line of a failed run."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("run_restore.py: ")]
    assert len(lines) == 1
    return lines[0]


def test_file(tmp_path, weights):
    image = data.astronaut()[:70, :90]
    write_image(tmp_path / "in.png", image)
    result = run(
        *(tmp_path / "in.png", "-o", tmp_path / "out.png", f"--weights={weights}"),
        *("--tile_size=64", "--precision=float32"),
    )
    assert result.returncode == 0, result.stderr
    assert "1 image restored" in result.stdout
    expected = restore(load_model(weights), image, tile_size=64)
    difference = read_image(tmp_path / "out.png").astype(int) - expected
    assert np.abs(difference).max() <= 1  # one grey level where float rounding decides
    assert (expected != image).any()


def test_what_the_flags_ask_for(tmp_path):
    cases = [
        ([], RestorationSettings()),
        (["--noise_sigma=24"], RestorationSettings(noise_sigma=24.0)),
        (
            ["--noise_sigma=auto", "--task=denoise"],
            RestorationSettings(noise_sigma="auto", task="denoise"),
        ),
        (["--task=sr", "--scale=2.5"], RestorationSettings(task="sr", scale=2.5)),
        (["--weights=mine.keras"], RestorationSettings(weights="mine.keras")),
        (["--exact"], RestorationSettings(exact=True)),
    ]
    commands = [["in.png", "-o", "out.png", *arguments] for arguments, _ in cases]
    function = "nlrn_tf.restoration.files.restore_files"
    found = script_calls(tmp_path, "restore", function, commands, takes_arguments=True)
    for (_, settings), (code, (positional, _)) in zip(cases, found, strict=True):
        assert code == 0
        assert positional == (settings, ["in.png"], "out.png", OutputSettings())


def test_the_default_weights():
    assert RestorationSettings().network == "auto"
    assert RestorationSettings(task="sr").network == "sr_lite"
    assert RestorationSettings(task="denoise", weights="mine.keras").network == "mine.keras"


def test_folder_with_a_damaged_image(tmp_path, weights):
    for name in ("a.png", "b.png", "c.jpg"):
        write_image(tmp_path / "in" / name, data.camera()[:40, :50])
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "b.png").read_bytes()[:300])
    result = run(f"--weights={weights}", "-o", tmp_path / "out", tmp_path / "in")
    assert "1 of 3 images" in complaint(result, 1)
    assert sum("b.png: " in line for line in result.stderr.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_full_disk(tmp_path, weights):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    write_image(tmp_path / "in.png", noise)
    # Python sees EFBIG where a full disk gives ENOSPC.
    limited = ("bash", "-c", 'ulimit -f 20 && exec "$@"', "bash")
    command = [*limited, sys.executable, SCRIPT, tmp_path / "in.png", f"--weights={weights}"]
    command += ["-o", tmp_path / "out" / "x.png"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "x.png: cannot be written" in complaint(result, 1)
    assert list((tmp_path / "out").iterdir()) == []


def test_weights_of_another_task(tmp_path, weights):
    write_image(tmp_path / "in.png", data.camera()[:20, :20])
    result = run(tmp_path / "in.png", "-o", tmp_path / "x.png", f"--weights={weights}", "--task=sr")
    assert "--task=sr" in complaint(result, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.png", "-o", "x.png"], 1, "missing.png: no such file"),
        (["-o", "x.png"], 1, "no input"),
        (["missing.png"], 2, "--output"),
        (["missing.png", "-o", "x.png", "--scale=1"], 2, "scale"),
        (
            ["missing.png", "-o", "x.png", "--noise_sigma=loud"],
            2,
            "--noise_sigma=loud: must be",
        ),
        (
            ["missing.png", "-o", "x.png", "--noise_sigma=-1"],
            2,
            "--noise_sigma=-1.0: must be",
        ),
        (
            ["missing.png", "-o", "x.png", "--noise_sigma=nan"],
            2,
            "--noise_sigma=nan: must be",
        ),
        (["x.png", "-o", "y.png", "--noise_sigma=9", "--task=sr"], 2, "leave out --task=sr"),
        (["x.png", "-o", "y.png", "--noise_sigma=auto", "--scale=2"], 2, "leave out --scale=2.0"),
        (["missing.png", "-o", "x.png", "--tile_size=big"], 2, "tile_size"),
        (["missing.png", "-o", "x.png", "--task=inpaint"], 2, "task"),
        (
            ["missing.png", "-o", "x.png", "--overwrite", "--skip_existing"],
            2,
            "and --skip_existing=True",
        ),
        (["missing.png", "-o", "x.png", "--nonsense"], 2, "nonsense"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, code, message):
    assert message in complaint(run(*arguments, cwd=tmp_path), code)
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_tensorflow():
    program = (
        "import runpy, sys\n"
        f"sys.argv = [{str(SCRIPT)!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "finally:\n"
        "    assert 'tensorflow' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=SCRIPT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    flags = "-o,--output --weights --scale self_ensemble --tile_size --noise_sigma"
    for flag in flags.split():
        assert flag in result.stdout
