"""The public image sets: where they are published, and verifying them.

`public_sets.json` beside this file has an entry for each set, as `ImageSet` describes it. The
checksums are sha256: of the file for JPEG, of the decoded pixels (`pixel_checksum`) for the sets
in lossless formats, so that any lossless container will do.
"""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pooch

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import IMAGE_SUFFIXES, read_image


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A public set of images.

    Attributes:
      folder: below the data folder; also the name of the set.
      home: web page where the set can be got by hand.
      urls: addresses of an image, tried in turn; "{name}" stands for its name.
      kind: what the checksums are of, "file" or "pixels".
      checksums: image name (file name without suffix) -> sha256, hexadecimal.
    """

    folder: str
    home: str
    urls: tuple[str, ...]
    kind: str
    checksums: Mapping[str, str]


@dataclasses.dataclass
class SetState:
    """What there is of a set: names of sound and of missing images, files that are wrong."""

    sound: list[str]
    missing: list[str]
    wrong: list[Path]


@functools.cache
def public_sets() -> dict[str, ImageSet]:
    """The sets for training and for the benchmarks of the paper, by folder."""
    described = json.loads((Path(__file__).parent / "public_sets.json").read_text())
    return {
        folder: ImageSet(folder, one["home"], tuple(one["urls"]), one["kind"], one["checksums"])
        for folder, one in described.items()
    }


def choose_sets(names: Iterable[str], sets: Mapping[str, ImageSet]) -> list[ImageSet]:
    """The sets of these names; a folder of sets, such as "BSDS500", stands for all in it.

    Raises:
      NLRNError: a name is unknown.
    """
    chosen = {}
    for name in names:
        found = {key: one for key, one in sets.items() if f"{key}/".startswith(f"{name}/")}
        if not found:
            raise NLRNError(f"data set '{name}' is unknown; choose of {', '.join(sets)}")
        chosen.update(found)
    return list(chosen.values())


def check_set(data_dir: str | os.PathLike, image_set: ImageSet) -> SetState:
    """Verifies the images of a set below `data_dir`."""
    files = {}
    folder = Path(data_dir) / image_set.folder
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            files[path.stem] = path
    state = SetState([], [name for name in image_set.checksums if name not in files], [])
    names = [name for name in image_set.checksums if name in files]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: image_checksum(files[name], image_set.kind), names)
        for name, checksum in zip(names, found, strict=True):
            if checksum == image_set.checksums[name]:
                state.sound.append(name)
            else:
                state.wrong.append(files[name])
    return state


def pixel_checksum(path: str | os.PathLike) -> str:
    """The sha256 of an image's shape and its RGB or grey bytes, independent of the format.

    Raises:
      NLRNError: not an 8-bit grey or RGB image.
    """
    image = read_image(path)
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def image_checksum(path: Path, kind: str) -> str | None:
    """The checksum of an image file of this kind; None when it is no image of a set for sure."""
    if kind == "file":
        return pooch.file_hash(str(path))
    try:
        return pixel_checksum(path)
    except NLRNError:  # the user's folder may hold files of any kind
        return None
