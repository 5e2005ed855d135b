"""The pipeline: match, group by the result, read, restore, write, and list what failed.

From reading to writing all is one stage, so that pixels stay in the process that has read them;
only names go from one to the other.
"""

import json
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import RunInference

from nlrn_tf.batch import storage
from nlrn_tf.batch.handler import Job, RestorationHandler, Restored
from nlrn_tf.batch.places import Places
from nlrn_tf.errors import NLRNError, blaming
from nlrn_tf.imaging.files import check_file_size, decode_photo, encode_image
from nlrn_tf.restoration.files import OF_THE_DISK
from nlrn_tf.restoration.settings import InputSettings

NAMESPACE = "nlrn"
# Of the counters: results written, pixels restored, images without a result, finished before.
IMAGES, PIXELS, FAILURES, SKIPPED = "images", "pixels", "failures", "skipped"
MILLISECONDS = "milliseconds"  # a distribution: of the restoration of an image

_FAILED = "failed"


def build(
    pipeline: beam.Pipeline,
    places: Places,
    failures: str,
    handler: RestorationHandler,
    reading: InputSettings,
    overwrite: bool,
) -> None:
    """Adds all steps to a pipeline.

    Args:
      pipeline: an empty one.
      places: of inputs and results.
      failures: place of the list of images that could not be restored.
      handler: restores.
      reading: which files are accepted.
      overwrite: whether images are restored whose results exist.
    """
    jobs, refused = _split(
        pipeline
        | "Patterns" >> beam.Create(places.patterns)
        | "Match" >> beam.ParDo(_Match(places)).with_output_types(tuple[bytes, bytes])
        | "By result" >> beam.GroupByKey()
        | "Plan" >> beam.ParDo(_Plan(overwrite)).with_outputs(_FAILED, main="done")
    )
    photos, unreadable = _split(
        jobs | "Read" >> beam.ParDo(_Read(reading)).with_outputs(_FAILED, main="done")
    )
    _, unwritten = _split(
        photos
        | "Restore" >> RunInference(handler)
        | "Write" >> beam.ParDo(_Write(places.output)).with_outputs(_FAILED, main="done")
    )
    _ = (
        (refused, unreadable, unwritten)
        | "All failures" >> beam.Flatten()
        | "One list" >> beam.combiners.ToList()
        | "List failures" >> beam.Map(_write_list, failures, places.output)
    )


def _split(outputs) -> tuple[beam.PCollection, beam.PCollection]:
    return outputs["done"], outputs[_FAILED]


def _encoded(name: str) -> bytes:
    """A name for Beam's coders, which take texts of UTF-8 alone."""
    return name.encode("utf-8", "surrogateescape")


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _entry(job: Job, **words: str) -> beam.pvalue.TaggedOutput:
    """A line of the list."""
    line = json.dumps({"input": job.source, "output": job.target, **words})
    return beam.pvalue.TaggedOutput(_FAILED, line.encode())


def _write_list(lines: Iterable[bytes], failures: str, output: str) -> None:
    storage.write(failures, b"".join(line + b"\n" for line in sorted(lines)), output)


class _Step(beam.DoFn):
    """A step of which whatever goes wrong with one image is the failure of that image."""

    def __init__(self):
        self._failures = Metrics.counter(NAMESPACE, FAILURES)

    def failure(self, job: Job, reason: str) -> beam.pvalue.TaggedOutput:
        """An entry of the list of failures, which is counted."""
        self._failures.inc()
        return _entry(job, error=reason)


class _Match(beam.DoFn):
    """From a pattern: each input, by its result."""

    def __init__(self, places: Places):
        self._places = places

    def process(self, pattern: str) -> Iterator[tuple[bytes, bytes]]:
        for source in storage.matching(pattern):
            target = self._places.target(source)
            if target is not None:
                yield _encoded(target), _encoded(source)


class _Plan(_Step):
    """From a result with all inputs of it: the work that there is to do."""

    def __init__(self, overwrite: bool):
        super().__init__()
        self._overwrite = overwrite
        self._skipped = Metrics.counter(NAMESPACE, SKIPPED)

    def process(self, found: tuple[bytes, Iterable[bytes]]) -> Iterator:
        sources = sorted({_decoded(source) for source in found[1]})  # patterns may overlap
        jobs = [Job(source, _decoded(found[0])) for source in sources]
        if len(jobs) > 1:
            for job in jobs:
                other = next(source for source in sources if source != job.source)
                reason = f"{job.source}: {other} would become {job.target} too; rename one"
                yield self.failure(job, reason)
            return
        [job] = jobs
        try:
            finished = not self._overwrite and storage.exists(job.target)
        except NLRNError as error:
            yield self.failure(job, str(error))
            return
        if finished:
            self._skipped.inc()
        else:
            yield job


class _Read(_Step):
    """From a job: it and the photo."""

    def __init__(self, reading: InputSettings):
        super().__init__()
        self._reading = reading

    def process(self, job: Job) -> Iterator:
        reading = self._reading

        def check_size(size: int) -> None:
            check_file_size(job.source, size, reading.max_pixels)

        try:
            content = storage.read(job.source, check_size)
            photo = decode_photo(job.source, content, reading.max_pixels, reading.accept_damaged)
        except NLRNError as error:
            yield self.failure(job, str(error))
            return
        yield job, photo


class _Write(_Step):
    """Writes what was restored."""

    def __init__(self, output: str):
        super().__init__()
        self._output = output
        self._images, self._pixels = (Metrics.counter(NAMESPACE, name) for name in (IMAGES, PIXELS))
        self._milliseconds = Metrics.distribution(NAMESPACE, MILLISECONDS)

    def process(self, restored: Restored) -> Iterator:
        job, photo = restored.job, restored.photo
        if photo is None:
            yield self.failure(job, restored.error or "")
            return
        try:
            with blaming(job.target, "cannot be written ({})"):
                content = encode_image(job.target, photo.pixels, photo.icc_profile)
                storage.write(job.target, content, self._output)
        except NLRNError as error:
            if getattr(error.__cause__, "errno", None) in OF_THE_DISK:
                raise  # it will stop the next image too
            yield self.failure(job, str(error))
            return
        self._images.inc()
        self._pixels.inc(photo.pixels.shape[0] * photo.pixels.shape[1])
        self._milliseconds.update(round(1000 * restored.seconds))
        if photo.damage is not None:
            yield _entry(job, damage=photo.damage)
