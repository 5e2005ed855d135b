"""The network for Beam's RunInference: images of any size, one after the other.

Beam's own handlers for TensorFlow load SavedModels and `.keras` files by their classes, and stack
examples of one size.
"""

import dataclasses
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from apache_beam.ml.inference.base import ModelHandler

from nlrn_tf import backend, cli
from nlrn_tf.batch import storage
from nlrn_tf.batch.places import is_local
from nlrn_tf.errors import NLRNError, blaming
from nlrn_tf.imaging.limits import check_file_size
from nlrn_tf.imaging.photo_files import suffix_of_result
from nlrn_tf.imaging.photos import Photo
from nlrn_tf.restoration.one_file import OF_THE_DISK, UNKNOWN, restore_file
from nlrn_tf.restoration.settings import InputSettings, RestorationSettings


@dataclasses.dataclass(frozen=True)
class Job:
    """An image to restore: its file, and that of the result, as places."""

    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Restored:
    """What has become of an image.

    Attributes:
      job: which image.
      pixels: of the result; 0 where there is none.
      damage: of the file, which was accepted; None of a sound one.
      error: why there is no result; None where there is one.
      seconds: that it took, with reading and writing.
    """

    job: Job
    pixels: int = 0
    damage: str | None = None
    error: str | None = None
    seconds: float = 0.0


class Network:
    """The networks of one process, which all its threads share.

    They work on one image at a time: it has all threads of TensorFlow, and takes much memory.

    Args:
      settings: which network, and how it is applied.
      reading: which files are accepted.
      output: folder of the batch.
      keep_exif: whether results have the EXIF of their photos.
    """

    def __init__(
        self,
        settings: RestorationSettings,
        reading: InputSettings,
        output: str,
        keep_exif: bool,
    ):
        from nlrn_tf.restoration.choice import RestorerChoice  # loads TensorFlow

        if settings.weights is not None and not is_local(settings.weights):
            self._copied = tempfile.TemporaryDirectory()  # read again for another level of noise
            copy = Path(self._copied.name) / os.path.basename(settings.weights)
            copy.write_bytes(storage.read(settings.weights))
            settings = dataclasses.replace(settings, weights=str(copy))
        self._choice = RestorerChoice(settings, say=lambda _: None)
        self._reading, self._output, self._keep_exif = reading, output, keep_exif
        self._lock = threading.Lock()

    def restore(self, job: Job) -> Restored:
        """Restores an image and writes the result, or says why it cannot be.

        Raises:
          NLRNError: the disk is full, or cannot be written at all: the next image would fail too.
        """
        began = time.monotonic()

        def check_size(size: int) -> None:
            check_file_size(job.source, size, self._reading.max_pixels)

        try:
            with (
                blaming(job.source, UNKNOWN),
                storage.here(job.source, check_size) as source,
                storage.arriving(result_of(job, source), self._output) as target,
                self._lock,
            ):
                began = time.monotonic()
                pixels, damage = restore_file(
                    *(source, target, self._for_photo, self._choice.scale),
                    *(self._reading, self._keep_exif),
                )
        except NLRNError as error:
            if getattr(error.__cause__, "errno", None) in OF_THE_DISK:
                raise
            return Restored(job, error=str(error), seconds=time.monotonic() - began)
        return Restored(job, pixels, damage, seconds=time.monotonic() - began)

    def _for_photo(self, photo: Photo, name: str, _: int) -> Callable:
        return self._choice(photo, name)


def result_of(job: Job, source: Path) -> str:
    """The place of a result: TIFF for what no other format holds, such as the pages of a stack.

    Args:
      job: names the place for all others.
      source: the file on this machine.
    """
    stem, suffix = os.path.splitext(job.target)
    return stem + suffix_of_result(source, suffix)


def possible_results(job: Job) -> tuple[str, str]:
    """All that `result_of` may give."""
    return job.target, os.path.splitext(job.target)[0] + ".tif"


class RestorationHandler(ModelHandler[Job, Restored, Network]):
    """Loads the network once in each process, and restores images one by one.

    Args:
      settings: which network, and how it is applied. Weights may be a place on any file system.
      reading: which files are accepted.
      output: folder of the batch.
      keep_exif: whether results have the EXIF of their photos.
      num_threads: of TensorFlow in each process; None for as many as there are cores.
    """

    def __init__(
        self,
        settings: RestorationSettings,
        reading: InputSettings,
        output: str,
        keep_exif: bool = False,
        num_threads: int | None = None,
    ):
        super().__init__()
        self._settings, self._num_threads = settings, num_threads
        self._reading, self._output, self._keep_exif = reading, output, keep_exif

    def load_model(self) -> Network:
        """The networks. Raises NLRNError as `RestorerChoice`."""
        cli.start_tensorflow()
        if self._num_threads is not None:
            backend.limit_threads(self._num_threads)
        return Network(self._settings, self._reading, self._output, self._keep_exif)

    def run_inference(
        self,
        batch: Sequence[Job],
        model: Network,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[Restored]:
        """Restores the images of a batch, in order."""
        for job in batch:
            yield model.restore(job)

    def batch_elements_kwargs(self) -> dict[str, int]:
        """One image at a time, or the memory of a batch would be that of all its images."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_metrics_namespace(self) -> str:
        """Of Beam's metrics of inference."""
        return "nlrn_inference"
