"""The scripts that make and check records, as users start them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.data.record_check import check_records, write_samples
from nlrn_tf.data.record_manifest import load_records, save_manifest
from nlrn_tf.data.records import ensure_records
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, write_image

TOOLS = Path(__file__).parents[2] / "data_tools"


def script(name, *arguments):
    command = [sys.executable, str(TOOLS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def data(tmp_path, rng):
    for name in ("one", "two", "three"):
        image = rng.integers(0, 256, (60, 70, 3), np.uint8)
        write_image(tmp_path / "data" / "set" / f"{name}.png", image)
    return tmp_path / "data"


def test_the_scripts(data, tmp_path):
    records = tmp_path / "records"
    flags = [f"--records_dir={records}", f"--data_dir={data}", "--sources=set"]
    made = script("make_records.py", *flags, "--num_shards=2", "--channel=y")
    assert made.returncode == 0, made.stderr
    assert f"{records}: 3 images in 2 files" in made.stdout
    sheet = tmp_path / "sheet.png"
    checked = script("check_records.py", f"--records_dir={records}", f"--samples={sheet}")
    assert checked.returncode == 0, checked.stderr
    assert "images-00001-of-00002.tfrecord" in checked.stdout
    assert "channel y, set: 3" in checked.stdout
    assert len(np.unique(read_image(sheet))) > 50
    shard = records / "images-00000-of-00002.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    damaged = script("check_records.py", f"--records_dir={records}")
    assert damaged.returncode == 1
    assert "check_records.py: " in damaged.stderr
    assert str(shard) in damaged.stderr
    assert "Traceback" not in damaged.stderr


@pytest.mark.parametrize("name", ["make_records.py", "check_records.py"])
def test_wrong_flags_and_help(name):
    assert script(name).returncode == 2
    assert script(name, "--records_dir=x", "extra").returncode == 2
    assert script(name, "--records_dir=x", "--channel=rgb").returncode == 2
    helped = script(name, "--help")
    assert helped.returncode == 0
    assert "--records_dir" in helped.stdout


def test_a_manifest_that_does_not_fit_is_found(data, tmp_path):
    records = ensure_records(
        tmp_path / "records", data, sources=["set"], channel="grey", num_shards=1, progress=False
    )
    assert check_records(records.directory) == records
    manifest = records.directory / "manifest.json"
    text = manifest.read_text()
    for old, new, message in [
        ('"height": 60', '"height": 61', "image set/one is not as"),
        ('"name": "set/three"', '"name": "set/other"', "image set/other is not as"),
        ('"name": "set/three"', '"name": "set/two"', "not those of the sources"),
        ('"channel": "grey"', '"channel": "y"', "is not as"),
    ]:
        assert old in text
        manifest.write_text(text.replace(old, new, 1))
        with pytest.raises(NLRNError, match=message):
            check_records(records.directory)
    save_manifest(records)
    assert load_records(records.directory) == records


def test_the_sample_sheet_shows_pairs(data, tmp_path):
    records = ensure_records(
        tmp_path / "records", data, sources=["set"], channel="grey", progress=False
    )
    write_samples(tmp_path / "sheet.png", records, patch_size=20, noise_sigma=0)
    sheet = read_image(tmp_path / "sheet.png")
    # 6 x 4 pairs of 2 patches of 20 pixels, magnified twice, with gaps of 4 pixels.
    assert sheet.shape == (6 * 40 + 5 * 4, 4 * 80 + 3 * 4)
    np.testing.assert_array_equal(sheet[:40, :40], sheet[:40, 40:80])  # without noise
    assert (sheet[40:44] == 255).all()
