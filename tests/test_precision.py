"""The choice of the precision, and what bfloat16 costs with the released weights."""

import numpy as np
import pytest

from nlrn_tf import machine, precision
from nlrn_tf.datasets.benchmarks import benchmark_images
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.model import NLRN
from nlrn_tf.precision import resolved
from nlrn_tf.restoration.planes import predict
from nlrn_tf.tasks.denoising import Denoising
from nlrn_tf.weights.loading import load_model, save_model
from nlrn_tf.weights.rebuilding import rebuild
from nlrn_tf.weights.released import import_saved_model


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse2", "bfloat16"),
        ("flags\t\t: fpu amx_bf16 amx_tile", "bfloat16"),
        ("flags\t\t: fpu avx2 avx512f", "float32"),
        ("Features\t: fp asimd", "float32"),
        (None, "float32"),
    ],
)
def test_auto_is_what_the_cpu_multiplies_fast(tmp_path, monkeypatch, cpu, expected):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(precision, "_gpu_multiplies", lambda otherwise: otherwise)
    if cpu is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{cpu}\nbugs\t: none\n")
    assert resolved("auto") == expected
    assert resolved("float32") == "float32"
    assert resolved("bfloat16") == "bfloat16"


def test_an_unknown_precision_is_refused():
    with pytest.raises(NLRNError, match="precision float8: must be one of auto, float32"):
        load_model("denoise_s25", precision="float8")


def test_weights_and_output_stay_float32(tmp_path, rng):
    save_model(NLRN({"filters": 4, "embedding_size": 2, "num_states": 2}), tmp_path / "a.keras")
    model = load_model(tmp_path / "a.keras", precision="bfloat16")
    assert model.recurrent.compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model(rng.random((1, 9, 9, 1), np.float32)).dtype == "float32"


@pytest.mark.slow
def test_bfloat16_costs_little_with_the_released_weights(data_dir, reference_dir):
    """At most 0.015 dB at sigma 15, where the eye and PSNR are the least forgiving."""
    exact = import_saved_model(reference_dir / "released_sigma15")
    exact = rebuild(exact, exact.config, "float32")
    fast = rebuild(exact, exact.config, "bfloat16")
    losses = []
    for index, path in enumerate(benchmark_images("Set12", data_dir, 3)):
        clean, noisy = Denoising().pair(path, index, noise_sigma=15)
        clean, noisy = clean[80:176, 80:176], noisy[80:176, 80:176]
        before, after = (psnr(clean, to_uint8(predict(model, noisy))) for model in (exact, fast))
        losses.append(before - after)
        assert before > psnr(clean, to_uint8(noisy)) + 5
    assert abs(np.mean(losses)) < 0.015
