"""What the tests of the pipeline share: records of small images, and finding patches in them."""

import numpy as np

from nlrn_tf.data.pipeline import make_dataset
from nlrn_tf.data.records import ensure_records
from nlrn_tf.imaging.files import write_image


def orientations(patch):
    """The eight flips and rotations of `[H, W]`."""
    return [np.rot90(turned, k) for turned in (patch, patch.T) for k in range(4)]


def random_image(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def make_records(folder, images, channel="grey", num_shards=2):
    """Records of `{name: uint8 [H, W]}`; returns their folder."""
    for name, image in images.items():
        write_image(folder / "data" / "set" / f"{name}.png", image)
    records = folder / "records"
    ensure_records(
        records,
        folder / "data",
        sources=["set"],
        channel=channel,
        num_shards=num_shards,
        progress=False,
    )
    return records


def take(records, config, count, **options):
    """The first `count` examples: (degraded, clean), each `[count, P, P]`."""
    batches = make_dataset(records, config, **options).unbatch().batch(count).take(1)
    return tuple(array[..., 0] for array in next(batches.as_numpy_iterator()))


def small_images():
    """One image is smaller than the patches of 16 in both directions, one in height."""
    sizes = {"a": (60, 50), "b": (40, 90), "c": (12, 9), "d": (10, 70)}
    return {name: random_image(*size, i) for i, (name, size) in enumerate(sizes.items())}


def mirrored_patches(image, size):
    """All patches of an image, mirrored beyond its edges where it is smaller: bytes -> place."""
    pads = [(max(0, size - length),) * 2 for length in image.shape]
    padded = np.pad(image, pads, "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    return {windows[y, x].tobytes(): (y, x) for y, x in np.ndindex(windows.shape[:2])}


def find(patch, places):
    """Where the uint8 patch is among `mirrored_patches`: (y, x, orientation)."""
    for number, oriented in enumerate(orientations(patch)):
        place = places.get(np.ascontiguousarray(oriented).tobytes())
        if place is not None:
            return (*place, number)
    return None
