"""Decoding in a process of its own, for decoders that complain on standard error only.

Standard error belongs to the whole process, and other threads write to it. So what a decoder says
of one file can be known only where it is alone. Nor does one that crashes end our work.
"""

import io
import subprocess
import sys

import numpy as np

_SECONDS = 600  # that an image may take

_PROGRAM = r"""
import io, sys
import PIL.Image, PIL.ImageFile, PIL.ImageOps
content = sys.stdin.buffer.read()
PIL.Image.MAX_IMAGE_PIXELS = None  # the size has been judged
task, pixels, profile = sys.argv[1], None, b""
if task != "judge":
    import numpy
if content[4:8] == b"ftyp" and b"avi" not in content[:64]:
    import pillow_heif
    heif = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
    profile = heif.info.get("icc_profile")
    pixels = numpy.asarray(heif)
if task == "damaged" and pixels is None:
    import cv2
    pixels = cv2.imdecode(numpy.frombuffer(content, numpy.uint8), cv2.IMREAD_UNCHANGED)
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True
if pixels is None:
    image = PIL.Image.open(io.BytesIO(content))
    image.load()
    profile = image.info.get("icc_profile")
    if task == "damaged" and image.mode != "L":
        pixels = numpy.asarray(image.convert("RGB"))[..., ::-1]
    elif task != "judge":
        image = PIL.ImageOps.exif_transpose(image)
        seen_through = "transparency" in image.info or image.mode == "PA"
        to = {"1": "L", "CMYK": "RGB", "YCbCr": "RGB", "RGBX": "RGB", "La": "LA", "RGBa": "RGBA"}
        if seen_through and image.mode == "L":
            image = image.convert("LA")
        elif image.mode in ("P", "PA") or (seen_through and image.mode == "RGB"):
            image = image.convert("RGBA" if seen_through else "RGB")
        pixels = numpy.asarray(image.convert(to[image.mode]) if image.mode in to else image)
if task == "judge" and content[:2] in (b"II", b"MM"):
    # Some versions of Pillow silence the warnings of libtiff, which OpenCV prints.
    import os, re, tempfile
    import cv2, numpy
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
    with tempfile.TemporaryFile() as printed:
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            cv2.imdecode(numpy.frombuffer(content, numpy.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:  # it is larger than OpenCV allows
            pass
        os.dup2(stderr, 2)
        printed.seek(0)
        sys.stderr.writelines(re.findall(r"\w*Decode\w*: .*\n", printed.read().decode("latin-1")))
if task != "judge":
    numpy.save(sys.stdout.buffer, pixels)
    sys.stdout.buffer.write(profile or b"")
"""


def complaint(content: bytes) -> str | None:
    """What Pillow, and the libraries that it calls, say of the pixels of a file; None if nothing.

    Raises:
      ValueError: it takes too long.
    """
    return _last_line(_run("judge", content))


def decoded(content: bytes) -> np.ndarray:
    """What is there of the pixels of a damaged file: BGR or grey, not turned.

    Raises:
      ValueError: nothing can be decoded.
    """
    return _pixels("damaged", content)[0]


def decoded_by_pillow(content: bytes) -> np.ndarray:
    """The pixels of a sound file in the order of Pillow, turned upright.

    Raises:
      ValueError: it cannot be decoded.
    """
    return _pixels("read", content)[0]


def judged_with_profile(content: bytes) -> tuple[np.ndarray, bytes]:
    """As `decoded_by_pillow`, with the colour profile; empty where there is none.

    Raises:
      ValueError: it cannot be decoded, or a decoder complains.
    """
    return _pixels("read", content, is_strict=True)


def _pixels(task: str, content: bytes, is_strict: bool = False) -> tuple[np.ndarray, bytes]:
    result = _run(task, content)
    if is_strict and (said := _last_line(result)):
        raise ValueError(said)
    try:
        answer = io.BytesIO(result.stdout)
        return np.load(answer, allow_pickle=False), answer.read()
    except (ValueError, EOFError) as error:
        raise ValueError("nothing of it can be decoded") from error


def _last_line(result: subprocess.CompletedProcess) -> str | None:
    lines = result.stderr.decode(errors="replace").strip().splitlines()
    if not lines and result.returncode:
        return f"its decoder ended with {result.returncode}"
    return lines[-1].strip() if lines else None


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
