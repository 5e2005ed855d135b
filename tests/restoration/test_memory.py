"""Memory of a whole process that restores a large image with the network of the paper."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.imaging.files import read_image, write_image
from tests.support.trials import memory_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_megapixel_is_restored_within_6_gib(tmp_path):
    y, x = np.mgrid[:1024, :1024]
    clean = 127 + 80 * np.sin(x / 17) * np.cos(y / 23)
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    write_image(tmp_path / "noisy.png", np.clip(noisy, 0, 255).astype(np.uint8))
    command = [sys.executable, "run_restore.py", str(tmp_path / "noisy.png")]
    command += ["-o", str(tmp_path / "clean.png"), "--precision=bfloat16"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        highest = _highest_memory(process)
    assert process.returncode == 0
    peak = highest / 2**30  # GiB
    print(f"peak {peak:.1f} GiB")  # shown by pytest -s
    assert 1 < peak < 6
    error = read_image(tmp_path / "clean.png") - clean
    assert np.sqrt(np.mean(error**2)) < 10


def _highest_memory(process):
    """In bytes, until the process ends.

    Not by `resource`, in which a child begins with the highest memory of its parent.
    """
    highest = 0
    while process.poll() is None:
        highest = max(highest, memory_of(process.pid, "VmHWM"))
        time.sleep(0.2)
    return highest
