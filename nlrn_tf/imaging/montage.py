"""Images side by side, with captions."""

import cv2
import numpy as np

_GAP = 8  # pixels between the images
_TEXT_HEIGHT = 14
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def comparison(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Images side by side, each below its caption.

    Args:
      panels: caption -> uint8 `[H, W]` or RGB `[H, W, 3]`, all of one shape.

    Returns:
      uint8 `[H', W']` or `[H', W', 3]`, black on white.
    """
    columns = [_captioned(caption, image) for caption, image in panels.items()]
    gap = np.full((columns[0].shape[0], _GAP, *columns[0].shape[2:]), 255, np.uint8)
    return np.hstack([part for column in columns for part in (column, gap)][:-1])


def _captioned(caption: str, image: np.ndarray) -> np.ndarray:
    width = image.shape[1]
    (text_width, text_height), _ = cv2.getTextSize(caption, _FONT, 1.0, 1)
    size = min(_TEXT_HEIGHT / text_height, max(width - 4, 1) / text_width)
    strip = np.full((_TEXT_HEIGHT + 2 * _GAP, width), 255, np.uint8)
    cv2.putText(strip, caption, (2, _TEXT_HEIGHT + _GAP), _FONT, size, 0, 1, cv2.LINE_AA)
    if image.ndim == 3:
        strip = np.repeat(strip[..., None], 3, axis=-1)
    return np.vstack([strip, image])
