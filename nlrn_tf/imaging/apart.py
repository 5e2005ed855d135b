"""Decoding in a process of its own, for decoders that complain on standard error only.

Standard error belongs to the whole process, and other threads write to it. So what a decoder says
of one file can be known only where it is alone.
"""

import io
import subprocess
import sys

import numpy as np

_SECONDS = 600  # that an image may take

_PROGRAM = """
import io, sys
import PIL.Image, PIL.ImageFile, PIL.ImageOps
content = sys.stdin.buffer.read()
PIL.Image.MAX_IMAGE_PIXELS = None  # the size has been judged
task, pixels = sys.argv[1], None
if task != "judge":
    import numpy
if task == "damaged":
    import cv2
    pixels = cv2.imdecode(numpy.frombuffer(content, numpy.uint8), cv2.IMREAD_UNCHANGED)
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True
if pixels is None:
    image = PIL.Image.open(io.BytesIO(content))
    image.load()
    if task == "damaged" and image.mode != "L":
        pixels = numpy.asarray(image.convert("RGB"))[..., ::-1]
    elif task != "judge":
        pixels = numpy.asarray(PIL.ImageOps.exif_transpose(image))
if task != "judge":
    numpy.save(sys.stdout.buffer, pixels)
"""


def complaint(content: bytes) -> str | None:
    """What Pillow, and the libraries that it calls, say of the pixels of a file; None if nothing.

    Raises:
      ValueError: it takes too long.
    """
    answer = _run("judge", content)
    lines = answer.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else None


def decoded(content: bytes) -> np.ndarray:
    """What is there of the pixels of a damaged file: BGR or grey, not turned.

    Raises:
      ValueError: nothing can be decoded.
    """
    return _pixels("damaged", content)


def decoded_by_pillow(content: bytes) -> np.ndarray:
    """The pixels of a sound file in the order of Pillow, turned upright.

    Raises:
      ValueError: it cannot be decoded.
    """
    return _pixels("read", content)


def _pixels(task: str, content: bytes) -> np.ndarray:
    try:
        return np.load(io.BytesIO(_run(task, content).stdout), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError("nothing of it can be decoded") from error


def _run(task: str, content: bytes) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM, task],
            input=content,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"decoding it takes over {_SECONDS} s") from error
