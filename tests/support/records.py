"""Small image sets and records of them."""

import numpy as np

from nlrn_tf.data.records import ensure_records
from nlrn_tf.imaging.files import write_image

SOURCES = ["colour", "grey/part"]


def write_images(folder):
    """Five colour and two grey images of different sizes."""
    random = np.random.default_rng(0)
    for i in range(5):
        image = random.integers(0, 256, (10 + i, 20 - i, 3), np.uint8)
        write_image(folder / "colour" / f"c{i}.png", image)
    for i in range(2):
        image = random.integers(0, 256, (7, 9 + i), np.uint8)
        write_image(folder / "grey" / "part" / f"g{i}.bmp", image)


def build(data, name="records", channel="grey", sources=SOURCES, num_shards=3):
    """Records of the images in `data`, in a folder beside it."""
    return ensure_records(
        data.parent / name,
        data,
        sources=sources,
        channel=channel,
        num_shards=num_shards,
        progress=False,
    )
