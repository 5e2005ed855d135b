"""Sample values of images: 8 and 16 bits, and floats in [0, 1]."""

import dataclasses

import numpy as np


def unit_range(image: np.ndarray) -> np.ndarray:
    """uint8 or uint16 to float32 in [0, 1]; a float image only becomes float32."""
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    return np.asarray(image, np.float32)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8 in 0..255, rounded and clipped; a uint8 image passes unchanged."""
    return image if image.dtype == np.uint8 else quantized(image, np.uint8)


def quantized(image: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Float in [0, 1] to uint8 or uint16 over its whole range, rounded and clipped."""
    peak = np.iinfo(dtype).max
    return np.clip(np.rint(np.asarray(image, np.float32) * peak), 0, peak).astype(dtype)


@dataclasses.dataclass(frozen=True)
class Levels:
    """White and black of samples of any type, as floats 1 and 0.

    Attributes:
      white: the value of white.
      black: the value of black, below `white`.
    """

    white: float
    black: float = 0

    def unit_range(self, image: np.ndarray) -> np.ndarray:
        """float32, 0 for black and 1 for white."""
        if image.dtype.itemsize <= 2 and not self.black:
            return image.astype(np.float32) / np.float32(self.white)
        return ((image.astype(np.float64) - self.black) / self._range).astype(np.float32)

    def like(self, image: np.ndarray, restored: np.ndarray) -> np.ndarray:
        """The inverse, in the type of `image` and clipped to the range of both."""
        values = restored.astype(np.float64) * self._range + self.black
        lowest = min(self.black, float(image.min()))
        highest = max(self.white, float(image.max()))
        if image.dtype.kind == "f":
            return np.clip(values, lowest, highest).astype(image.dtype)
        info = np.iinfo(image.dtype)
        values = np.clip(values, max(lowest, info.min), min(highest, info.max))
        return np.rint(values).astype(image.dtype)

    @property
    def _range(self) -> float:
        return self.white - self.black
