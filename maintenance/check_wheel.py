"""Checks an installed wheel: the kernels are compiled in, and attend.

Run it outside the source tree.
"""

import platform
import sys

import numpy as np

from nlrn_tf.layers import _kernels

EXPECTED = {"x86_64": {"avx2", "avx512", "baseline"}, "AMD64": {"avx2", "avx512", "baseline"}}


def main() -> int:
    usable = _kernels.names()
    compiled = set(_kernels.compiled())
    missing = EXPECTED.get(platform.machine(), {"baseline"}) - compiled
    print(f"compiled: {', '.join(sorted(compiled))}; of use here: {', '.join(usable)}")
    ones = np.ones((9, 9, 4), np.float32)
    for name in usable:
        if name == "amx":
            continue  # takes bfloat16, which NumPy alone does not have
        attended = np.zeros_like(ones)
        arrays = ((ones,), (ones,), ones, attended)
        _kernels.attend_rows(name, *arrays, None, False, False, 9, 9, 5, False, 0, 9)
        if not np.allclose(attended, 1):
            missing.add(name)
    if missing:
        print(f"missing or wrong: {', '.join(sorted(missing))}")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
