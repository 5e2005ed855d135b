"""Running a study: trains its members one after the other, scores them, writes the comparison.

Read next: `members.py` (what is compared), `settings.py` (how a member is trained), `store.py`
(what is kept), `report.py`.
"""

import logging
import os
import statistics
from pathlib import Path

from rich.console import Console

from nlrn_tf import backend, machine
from nlrn_tf.datasets.benchmarks import benchmark_images
from nlrn_tf.errors import NLRNError, NotFiniteError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.precision import resolved
from nlrn_tf.studies.complexity import effective_depth, multiply_adds, parameters
from nlrn_tf.studies.report import require_matplotlib, write_report
from nlrn_tf.studies.settings import StudySettings, member_config
from nlrn_tf.studies.store import check_folder, read_member, write_member
from nlrn_tf.training.checkpoint import latest_checkpoint
from nlrn_tf.training.curve import read_curve
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.trainer import train

TEST_SET = "Set12"


def run_study(
    settings: StudySettings,
    *,
    workdir: str | os.PathLike,
    data_dir: str | os.PathLike,
    console: Console,
) -> dict[str, dict]:
    """Trains and scores what is not done yet, and writes table and plot of what is.

    Args:
      settings: the study, its members, and how they are trained.
      workdir: of the study, see `store.py`. The same call goes on where it was interrupted.
      data_dir: the data sets, one folder each.
      console: gets a line for each member, and the table.

    Returns:
      The results by member, in the order of the study:
      {"psnr", "ssim": on Set12, dB and 0..1, None where the network is not finite;
      "held_out_psnr": on images held out of the training, dB or None; "steps", "minutes";
      "parameters": of the convolutions; "norm_parameters", "depth", "multiply_adds" for one pixel;
      "window_size", "num_states", "precision", "machine"}.

    Raises:
      NLRNError: the folder holds something else, data is missing, or a training has failed.
      KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint of the member written.
    """
    require_matplotlib()
    # Each member compiles networks of its own, which TensorFlow takes for a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    check_folder(workdir, settings)
    benchmark_images(TEST_SET, data_dir, settings.max_images)
    chosen = settings.only or tuple(settings.of_study.members)
    for number, member in enumerate(chosen):
        heading = f"{member} ({number + 1} of {len(chosen)})"
        if read_member(workdir, settings, member):
            console.print(f"{heading}: done before")
            continue
        left = _minutes_left(settings, workdir, chosen[number:])
        console.print(f"{heading}: {left} left of the study")
        _run_member(settings, Path(workdir), member, data_dir)
        write_report(settings, workdir, _results(settings, workdir))
    results = _results(settings, workdir)
    console.print(write_report(settings, workdir, results))
    return results


def _results(settings: StudySettings, workdir: str | os.PathLike) -> dict[str, dict]:
    found = {member: read_member(workdir, settings, member) for member in settings.of_study.members}
    return {member: result for member, result in found.items() if result}


def _minutes_left(
    settings: StudySettings, workdir: str | os.PathLike, members: tuple[str, ...]
) -> str:
    each = settings.minutes_per_run
    done = [result["minutes"] for result in _results(settings, workdir).values()]
    if done and (each is None or max(done) < each):
        each = statistics.fmean(done)
    if each is None:
        return "an unknown time"
    waiting = [name for name in members if not read_member(workdir, settings, name)]
    minutes = round(each * len(waiting))
    return f"{minutes // 60}:{minutes % 60:02d} h of training"


def _run_member(
    settings: StudySettings, workdir: Path, member: str, data_dir: str | os.PathLike
) -> None:
    config, folder = member_config(settings, member), workdir / member
    write_member(workdir, settings, member, None)
    records = "+".join(source.replace("/", "_") for source in config.sources)
    weights = train(
        config, workdir=folder, data_dir=data_dir, records_dir=workdir / "records" / records
    )
    result = {
        **_scores(settings, weights, data_dir),
        **_end_of_training(folder),
        **_sizes(config),
        "precision": resolved(config.precision),
        "machine": ", ".join([machine.described(), *backend.accelerators()]),
    }
    write_member(workdir, settings, member, result)


def _scores(settings: StudySettings, weights: Path, data_dir: str | os.PathLike) -> dict:
    evaluation = EvaluationSettings(
        TEST_SET,
        noise_sigma=settings.of_study.noise_sigma,
        weights=str(weights),
        max_images=settings.max_images,
    )
    path = weights.parent / f"{TEST_SET.lower()}.json"
    try:
        scores = evaluate(evaluation, data_dir=data_dir, json_path=path)
    except NotFiniteError:
        return {"psnr": None, "ssim": None}
    except NLRNError as error:
        if isinstance(error.__cause__, NotFiniteError):
            return {"psnr": None, "ssim": None}
        raise
    return {"psnr": scores["psnr"], "ssim": scores["ssim"]}


def _end_of_training(folder: Path) -> dict:
    run = latest_checkpoint(folder / "checkpoints")
    assert run is not None  # the training has just ended
    held_out = read_curve(folder / "curve.csv")["val_psnr"][-1] if run.curve else None
    return {
        "held_out_psnr": None if held_out is None else float(held_out),
        "steps": run.step,
        "minutes": round(run.minutes, 2),
    }


def _sizes(config: TrainingConfig) -> dict:
    network = config.network
    convolutions, norms = parameters(network)
    return {
        "parameters": convolutions,
        "norm_parameters": norms,
        "depth": effective_depth(network),
        "multiply_adds": multiply_adds(network),
        "window_size": network.window_size,
        "num_states": network.num_states,
    }
