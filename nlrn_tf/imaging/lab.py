"""CIE L*a*b* of TIFF files, which is of the white D50, as sRGB."""

import numpy as np

_WHITE = np.array([0.9642, 1.0, 0.8249])  # D50, as in ICC profiles
# Linear sRGB from XYZ at D50: the matrix of IEC 61966-2-1 after Bradford's adaptation to D65.
_TO_LINEAR = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
_EDGE = 6 / 29  # below it the cube root of L*a*b* is a straight line


def lab_to_rgb(lab: np.ndarray, is_signed: bool) -> np.ndarray:
    """L*a*b* as sRGB of the same type, clipped.

    Args:
      lab: uint8 or uint16 `[H, W, 3]`, as TIFF stores it.
      is_signed: whether a* and b* are signed numbers (CIELab), or 128 is 0 (ICCLab).
    """
    bits = 8 * lab.dtype.itemsize
    unit = 2 ** (bits - 8)
    chroma = lab[..., 1:].astype(np.float64)
    if is_signed:
        chroma = lab[..., 1:].view(f"i{lab.dtype.itemsize}").astype(np.float64)
    else:
        chroma -= 128 * unit
    full = 2**bits - 1 if is_signed or bits == 8 else 65280  # of ICC v2, which TIFF has
    lightness = (lab[..., :1] * (100 / full) + 16) / 116
    a, b = chroma[..., :1] / unit, chroma[..., 1:] / unit
    roots = np.concatenate([lightness + a / 500, lightness, lightness - b / 200], axis=-1)
    xyz = np.where(roots > _EDGE, roots**3, 3 * _EDGE**2 * (roots - 4 / 29)) * _WHITE
    linear = np.clip(xyz @ _TO_LINEAR.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * (2**bits - 1)).astype(lab.dtype)
