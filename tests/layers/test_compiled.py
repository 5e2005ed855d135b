"""Which of the compiled kernels may be used here, and how an image is shared out."""

import platform
import shutil
import sys

import pytest

from nlrn_tf import machine
from nlrn_tf.errors import NLRNError
from nlrn_tf.layers import compiled

COMPILES = sys.platform in ("linux", "darwin") and shutil.which("cc") is not None
IS_X86 = platform.machine() in ("x86_64", "AMD64")


@pytest.mark.skipif(not COMPILES, reason="nothing to compile with")
def test_kernels_are_compiled_where_they_can_be():
    names = compiled.kernels.names()
    assert names[-1] == "baseline"
    assert set(names) <= set(compiled.VARIANTS)
    assert sorted(names, key=compiled.VARIANTS.index) == names
    all_of_them = compiled.kernels.compiled()
    assert set(names) <= set(all_of_them)
    if IS_X86:
        assert {"avx512", "avx2", "baseline"} <= set(all_of_them)
        assert ("amx" in all_of_them) == (sys.platform == "linux")


@pytest.mark.skipif(not (IS_X86 and sys.platform == "linux"), reason="read from /proc/cpuinfo")
@pytest.mark.parametrize(
    ("variant", "feature"), [("avx2", "avx2"), ("avx512", "avx512bw"), ("amx", "amx_bf16")]
)
def test_the_processor_is_told_rightly(variant, feature):
    """The processor's own answer and that of the system; AMX may need a permission besides."""
    has_feature = feature in machine.processor_features()
    if variant == "amx":
        assert has_feature or variant not in compiled.kernels.names()
    else:
        assert has_feature == (variant in compiled.kernels.names())


@pytest.mark.parametrize(
    ("forced", "message"),
    [
        ("sse9", "NLRN_KERNEL=sse9: must be one of amx, avx512, avx2, baseline, off"),
        ("amx", "NLRN_KERNEL=amx: cannot run here; what can is avx2, baseline, off"),
    ],
)
def test_a_kernel_that_is_not_there_is_refused(monkeypatch, forced, message):
    monkeypatch.setattr(compiled, "usable", lambda: ("avx2", "baseline"))
    monkeypatch.setenv(compiled.VARIABLE, forced)
    with pytest.raises(NLRNError, match=f"^{message}$"):
        compiled.variants()


@pytest.mark.parametrize("num_rows", [1, 2, 31, 32, 33, 1000])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_bands_cover_the_image_once(monkeypatch, num_rows, threads):
    monkeypatch.setattr(compiled, "_threads", lambda: threads)
    rows = []
    compiled.for_bands(lambda first, last: rows.extend(range(first, last)), num_rows, 32)
    assert sorted(rows) == list(range(num_rows))


def test_what_a_band_raises_is_raised():
    def fail(first, last):
        raise MemoryError(f"{first}")

    with pytest.raises(MemoryError):
        compiled.for_bands(fail, 10, 4)
