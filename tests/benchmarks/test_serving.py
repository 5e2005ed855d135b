import json
import subprocess
import sys

import pytest

from tests.support.serving import ROOT, small_denoiser_export


@pytest.mark.slow
def test_benchmark_of_serving(tmp_path):
    weights, saved_model = small_denoiser_export()
    command = [sys.executable, "benchmarks/serving.py", f"--weights={weights}"]
    command += [f"--saved_model={saved_model}", f"--json={tmp_path / 'serving.json'}"]
    command += ["--seconds=1", "--clients=3", "--size=9", "--starts=1", "--following=3"]
    # Of so small a network, the first request is mostly what TensorFlow does for a new size.
    command += ["--max_first_to_median=1000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "latency p99" in done.stdout
    result = json.loads((tmp_path / "serving.json").read_text())
    figures = {row["figure"]: row["value"] for row in result["rows"]}
    assert figures["failures"] == figures["wrong answers"] == 0
    assert figures["requests"] >= 3
    assert 0 < figures["latency p50, seconds"] <= figures["latency p99, seconds"]
    assert result["settings"]["clients"] == 3
    assert {"cpu", "cores", "tensorflow"} <= result["machine"].keys()
