"""The compiled kernels under the sanitizers of the compiler; that of AMX in emulation."""

import shutil
import subprocess
from pathlib import Path

import pytest

from nlrn_tf import machine
from nlrn_tf.layers import compiled

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_no_sanitizer_complains(tmp_path):
    """Reads and writes outside the arrays, and what C leaves undefined."""
    flags = ["-fsanitize=address,undefined", "-x", "c", "-", "-o", str(tmp_path / "probe")]
    probe = subprocess.run(["cc", *flags], input=b"int main(void) { return 0; }", check=False)
    if probe.returncode:
        pytest.skip("the compiler has no sanitizers")
    command = ["make", "sanitize", f"SANITIZED={tmp_path / 'kernels'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    is_emulated = "avx512_bf16" in machine.processor_features()  # emulated_tiles.h
    for name in {*compiled.usable(), *(["amx"] if is_emulated else [])}:
        assert f"{name}: clean" in done.stdout
