"""The pipeline: match, group by the result, restore, and list what failed.

Only names go from one step to the next: an image is read, restored and written in one of them.
"""

import json
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import RunInference

from nlrn_tf.batch import storage
from nlrn_tf.batch.handler import Job, RestorationHandler, Restored, possible_results
from nlrn_tf.batch.places import Places
from nlrn_tf.errors import NLRNError

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
    overwrite: bool,
) -> None:
    """Adds all steps to a pipeline.

    Args:
      pipeline: an empty one.
      places: of inputs and results.
      failures: place of the list of images that could not be restored.
      handler: restores.
      overwrite: whether images are restored whose results exist.
    """
    jobs, refused = _split(
        pipeline
        | "Patterns" >> beam.Create(places.patterns)
        | "Match" >> beam.ParDo(_Match(places)).with_output_types(tuple[bytes, bytes])
        | "By result" >> beam.GroupByKey()
        | "Plan" >> beam.ParDo(_Plan(overwrite)).with_outputs(_FAILED, main="done")
    )
    _, failed = _split(
        jobs
        | "Restore" >> RunInference(handler)
        | "Count" >> beam.ParDo(_Count()).with_outputs(_FAILED, main="done")
    )
    _ = (
        (refused, failed)
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
                remedy = "rename one, or give keep_suffix=True"
                reason = f"{job.source}: {other} would become {job.target} too; {remedy}"
                yield self.failure(job, reason)
            return
        [job] = jobs
        try:
            finished = not self._overwrite and any(map(storage.exists, possible_results(job)))
        except NLRNError as error:
            yield self.failure(job, str(error))
            return
        if finished:
            self._skipped.inc()
        else:
            yield job


class _Count(_Step):
    """What came of the images."""

    def __init__(self):
        super().__init__()
        self._images, self._pixels = (Metrics.counter(NAMESPACE, name) for name in (IMAGES, PIXELS))
        self._milliseconds = Metrics.distribution(NAMESPACE, MILLISECONDS)

    def process(self, restored: Restored) -> Iterator:
        if restored.error is not None:
            yield self.failure(restored.job, restored.error)
            return
        self._images.inc()
        self._pixels.inc(restored.pixels)
        self._milliseconds.update(round(1000 * restored.seconds))
        if restored.damage is not None:
            yield _entry(restored.job, damage=restored.damage)
