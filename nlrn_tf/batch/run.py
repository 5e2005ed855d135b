"""Running a batch: Beam's options, its log, and what came of it."""

import collections
import contextlib
import dataclasses
import io
import logging
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nlrn_tf
from nlrn_tf import machine
from nlrn_tf.batch.places import Places, is_local, places_of
from nlrn_tf.batch.settings import DIRECT_RUNNER, BatchSettings
from nlrn_tf.errors import NLRNError, reason_of
from nlrn_tf.restoration.settings import InputSettings, OutputSettings, RestorationSettings
from nlrn_tf.storage.locks import lock_folder

FAILURES = "failures.jsonl"

# Of an error in a worker Beam hands on the traceback as text.
_OURS = re.compile(r"^nlrn_tf\.errors\.\w+: (.*)$", re.MULTILINE)
_OTHERS = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception): .*$", re.MULTILINE)
_WORKER_ENDED = "Channel closed prematurely"
_STEP = re.compile(r" \[while running '[^']*'\]")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a batch has done.

    Attributes:
      images: results written.
      pixels: restored, of the results.
      skipped: results that were there before.
      failures: images without a result.
      listed: place of the list of failures.
      restoring_seconds: that the images took in all processes.
      seconds: from the start of the pipeline to its end.
    """

    images: int
    pixels: int
    skipped: int
    failures: int
    listed: str
    restoring_seconds: float
    seconds: float


def run_batch(
    pattern: str,
    output: str,
    restoration: RestorationSettings = RestorationSettings(),  # noqa: B008 (it cannot be changed)
    batch: BatchSettings = BatchSettings(),  # noqa: B008
    *,
    reading: InputSettings = InputSettings(),  # noqa: B008
    outputs: OutputSettings = OutputSettings(),  # noqa: B008
    beam_options: Sequence[str] = (),
) -> Outcome:
    """Restores the images that match a pattern, by Apache Beam. Needs the extra `batch`.

    Each image is restored as `restoration.files.restore_files` does, and gets the same bytes.
    Results that exist are left unless `outputs.overwrite`. An image that cannot be read, restored
    or written is listed with the reason; the others are done all the same, unless the disk is full.

    Args:
      pattern: of the inputs, see `places.places_of`; on any file system that Beam knows.
      output: folder of the results, likewise.
      restoration: which network, and how it is applied.
      batch: what restores them.
      reading: which files are accepted.
      outputs: how results are written.
      beam_options: for Beam, such as "--flink_master=localhost:8081".

    Returns:
      What was done.

    Raises:
      NLRNError: Beam is not installed, an argument is wrong, nothing matches the pattern, the
        output is in use by another process, or the pipeline has failed.
    """
    places = places_of(pattern, output, outputs.suffix, outputs.keep_suffix)
    with _quiet(), _found_by_workers(), _locked(places.output):
        return _run(pattern, places, restoration, batch, reading, outputs, beam_options)


def _run(
    pattern: str,
    places: Places,
    restoration: RestorationSettings,
    batch: BatchSettings,
    reading: InputSettings,
    outputs: OutputSettings,
    beam_options: Sequence[str],
) -> Outcome:
    beam = _beam()
    from nlrn_tf.batch import storage
    from nlrn_tf.batch.handler import RestorationHandler
    from nlrn_tf.batch.pipeline import build

    workers = batch.direct_num_workers or machine.num_cores()
    shared = batch.runner == DIRECT_RUNNER and workers > 1
    options = _options(beam, batch, workers, beam_options)
    if not any(next(storage.matching(each, 1), None) for each in places.patterns):
        raise NLRNError(f"{pattern}: no file matches")
    storage.remove_unfinished(places.output)
    listed = batch.failures or f"{places.output}/{FAILURES}"
    threads = max(1, machine.num_cores() // workers) if shared else None
    handler = RestorationHandler(
        restoration, reading, places.output, outputs.keep_metadata, threads
    )
    began = time.monotonic()
    with _one_line():
        pipeline = beam.Pipeline(runner=_runner(batch.runner, workers, options), options=options)
        build(pipeline, places, listed, handler, outputs.overwrite)
        result = pipeline.run()
        state = result.wait_until_finish() or result.state
    seconds = time.monotonic() - began
    if state != "DONE":
        raise NLRNError(f"the pipeline has ended as {state}; see the log of {batch.runner}")
    storage.remove_unfinished(places.output)
    return _outcome(result, listed, seconds)


def _beam():
    try:
        import apache_beam
    except ImportError as error:
        raise NLRNError(
            "a batch needs Apache Beam: `pip install apache-beam` (the extra 'batch' of nlrn-tf)"
        ) from error
    return apache_beam


@contextlib.contextmanager
def _locked(output: str) -> Iterator[None]:
    """Keeps other processes out of an output folder on this machine; elsewhere there is no lock."""
    with lock_folder(output) if is_local(output) else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log of Beam's, nor of its threads: what goes wrong is raised, in one line."""
    level, hook = logging.root.manager.disable, threading.excepthook
    logging.disable(logging.CRITICAL)
    threading.excepthook = lambda _: None
    try:
        yield
    finally:
        logging.disable(level)
        threading.excepthook = hook


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Makes one line of an error of the pipeline, which has the tracebacks of all processes."""
    try:
        yield
    except Exception as error:
        text = _STEP.sub("", str(error))
        if isinstance(error, NLRNError):
            raise NLRNError(text) from error
        if text.startswith(KeyboardInterrupt.__name__):  # Beam makes an error of it
            raise KeyboardInterrupt from error
        if _WORKER_ENDED in text:
            raise NLRNError(
                "a process of the batch was ended from outside; was there too little memory? The "
                "same command goes on, with less memory at a smaller direct_num_workers=N"
            ) from error
        ours, others = _OURS.findall(text), _OTHERS.findall(text)
        if ours:
            raise NLRNError(ours[-1]) from error
        reason = others[-1] if others else reason_of(error)
        raise NLRNError(f"the pipeline has failed ({reason})") from error


def _options(beam, batch: BatchSettings, workers: int, given: Sequence[str]):
    """Beam's options: ours, then those that were given.

    Raises:
      NLRNError: one is not known, or has another value.
    """
    ours = [f"--direct_num_workers={workers}"] if batch.runner == DIRECT_RUNNER else []
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options = beam.options.pipeline_options.PipelineOptions([*ours, *given])
            known = options.get_all_options()
            named = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:  # of argparse
        raise NLRNError(complaint.getvalue().strip().rpartition("error: ")[2]) from error
    unknown = sorted(set(named) - set(known))
    if unknown and batch.runner == DIRECT_RUNNER:  # others have options that Python does not know
        raise NLRNError(f"{unknown[0]}: no such option of Beam")
    return options


def _runner(name: str, workers: int, options):
    """Beam's name of a runner, or a runner."""
    if name != DIRECT_RUNNER:
        return name
    # The one that is written in Python: for that name Beam may download another program.
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    information = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    command = f"exec {shlex.quote(sys.executable)} -m nlrn_tf.batch.worker"
    processes = SubprocessSDKEnvironment.from_command_string(command) if workers > 1 else None
    return fn_runner.FnApiRunner(
        default_environment=processes,
        provision_info=fn_runner.ExtendedProvisionInfo(information),
    )


@contextlib.contextmanager
def _found_by_workers() -> Iterator[None]:
    """Processes that Beam starts import the package from where it is, from whatever folder."""
    before = os.environ.get("PYTHONPATH")
    here = str(Path(nlrn_tf.__file__).resolve().parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _outcome(result, listed: str, seconds: float) -> Outcome:
    from nlrn_tf.batch import pipeline

    found = result.metrics().query()
    counts: collections.Counter[str] = collections.Counter()
    for metric in found["counters"]:
        if metric.key.metric.namespace == pipeline.NAMESPACE:
            counts[metric.key.metric.name] += metric.result
    milliseconds = sum(
        metric.result.sum
        for metric in found["distributions"]
        if metric.key.metric.namespace == pipeline.NAMESPACE
    )
    return Outcome(
        images=counts[pipeline.IMAGES],
        pixels=counts[pipeline.PIXELS],
        skipped=counts[pipeline.SKIPPED],
        failures=counts[pipeline.FAILURES],
        listed=listed,
        restoring_seconds=milliseconds / 1000,
        seconds=seconds,
    )
