"""The network for Beam's RunInference: images of any size, one after the other.

Beam's own handlers for TensorFlow load SavedModels and `.keras` files by their classes, and stack
examples of one size.
"""

import dataclasses
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from apache_beam.ml.inference.base import ModelHandler

from nlrn_tf import backend, cli
from nlrn_tf.batch import storage
from nlrn_tf.batch.places import is_local
from nlrn_tf.errors import NLRNError, blaming
from nlrn_tf.imaging.files import Photo
from nlrn_tf.restoration.files import UNKNOWN, check_restorable, restore_photo
from nlrn_tf.restoration.plan import check_name
from nlrn_tf.restoration.settings import RestorationSettings


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
      photo: the result; None where there is none.
      error: why there is none; None where there is one.
      seconds: that it took.
    """

    job: Job
    photo: Photo | None
    error: str | None
    seconds: float


class Network:
    """The networks of one process, which all its threads share.

    They work on one image at a time: it has all threads of TensorFlow, and takes much memory.
    """

    def __init__(self, settings: RestorationSettings):
        from nlrn_tf.restoration.choice import RestorerChoice  # loads TensorFlow

        if settings.weights is not None and not is_local(settings.weights):
            self._copied = tempfile.TemporaryDirectory()  # read again for another level of noise
            copy = Path(self._copied.name) / os.path.basename(settings.weights)
            copy.write_bytes(storage.read(settings.weights))
            settings = dataclasses.replace(settings, weights=str(copy))
        self._choice = RestorerChoice(settings, say=lambda _: None)
        self._lock = threading.Lock()

    def restore(self, job: Job, photo: Photo) -> Restored:
        """Restores a photo, or says why it cannot be."""
        began = time.monotonic()
        restored, reason = None, None
        try:
            with blaming(job.source, UNKNOWN), self._lock:
                began = time.monotonic()
                check_restorable(job.source, job.target, photo, self._choice.scale)
                if is_local(job.target):
                    check_name(Path(job.target))
                restored = restore_photo(job.source, photo, self._choice, lambda _: None)
        except NLRNError as error:
            reason = str(error)
        return Restored(job, restored, reason, time.monotonic() - began)


class RestorationHandler(ModelHandler[tuple[Job, Photo], Restored, Network]):
    """Loads the network once in each process, and restores images one by one.

    Args:
      settings: which network, and how it is applied. Weights may be a place on any file system.
      num_threads: of TensorFlow in each process; None for as many as there are cores.
    """

    def __init__(self, settings: RestorationSettings, num_threads: int | None = None):
        super().__init__()
        self._settings, self._num_threads = settings, num_threads

    def load_model(self) -> Network:
        """The networks. Raises NLRNError as `RestorerChoice`."""
        cli.start_tensorflow()
        if self._num_threads is not None:
            backend.limit_threads(self._num_threads)
        return Network(self._settings)

    def run_inference(
        self,
        batch: Sequence[tuple[Job, Photo]],
        model: Network,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[Restored]:
        """Restores the images of a batch, in order."""
        for job, photo in batch:
            yield model.restore(job, photo)

    def batch_elements_kwargs(self) -> dict[str, int]:
        """One image at a time, or the memory of a batch would be that of all its images."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[tuple[Job, Photo]]) -> int:
        """The bytes of the pixels; Beam's own would pickle them to count."""
        return sum(photo.pixels.nbytes for _, photo in batch)

    def get_metrics_namespace(self) -> str:
        """Of Beam's metrics of inference."""
        return "nlrn_inference"
