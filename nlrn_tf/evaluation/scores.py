"""The scores of an evaluation: what they hold for, their means, and the file that keeps them.

The file that `--json` names is written again after each image. The same evaluation goes on from
it; one with other settings is refused, so that no file mixes scores that are not comparable.
"""

import json
import math
import os
import statistics
from collections.abc import Iterable, Sequence

from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.settings import NETWORK, EvaluationSettings
from nlrn_tf.files import write_text
from nlrn_tf.precision import propagates_exactly, resolved
from nlrn_tf.storage.reading import read_json, reading
from nlrn_tf.storage.schema import MisfitError, checked
from nlrn_tf.tasks.registry import task_named

MEASURES = ("psnr", "ssim", "input_psnr", "input_ssim")
_DECIBELS = ("psnr", "input_psnr")
_PSNR = ("psnr",)
_OF_IMAGE = (*MEASURES, "seconds")
_MEANS = (*MEASURES, "seconds_per_image")
_PROBLEM = "not a file of scores by `run_eval.py --json`"
_FIXED = ("dataset", "task", "method", "protocol")


class Scores:
    """The scores of one evaluation.

    Args:
      settings: of the evaluation.
      weights_sha256: of the file of weights, None where there is none.

    Attributes:
      images: file name -> {"name", "psnr", "ssim", "seconds", "input_psnr", "input_ssim"}, those
        scored so far. "input" is the input of the network, the noisy or the bicubic image.
    """

    def __init__(self, settings: EvaluationSettings, weights_sha256: str | None):
        self.settings = settings
        self.images: dict[str, dict] = {}
        self._conditions = _conditions(settings, weights_sha256)

    def result(self) -> dict:
        """What `evaluate.evaluate` returns; the images in the order of their names."""
        images = [self.images[name] for name in sorted(self.images)]
        settings = self.settings

        def mean(key: str) -> float:
            return statistics.fmean(image[key] for image in images)

        return {
            "dataset": settings.dataset,
            "task": settings.task,
            "method": settings.method,
            "protocol": settings.protocol,
            **({settings.of_task.setting: settings.setting} if settings.of_task.setting else {}),
            "weights": settings.weights,
            "images": images,
            "psnr": mean("psnr"),
            "ssim": mean("ssim"),
            "seconds_per_image": mean("seconds"),
            "input_psnr": mean("input_psnr"),
            "input_ssim": mean("input_ssim"),
            "settings": self._conditions,
        }

    def identity(self) -> dict:
        """Everything that the scores depend on."""
        fixed = {key: getattr(self.settings, key) for key in _fixed(self.settings.of_task.name)}
        return _with_exact({**fixed, **self._conditions})


def write_scores(path: str | os.PathLike, evaluations: Sequence[Scores]) -> None:
    """Writes the result of one evaluation, or the list of the results of several, as JSON.

    JSON has no infinity: the PSNR of equal images becomes null. Evaluations without a score yet are
    left out.

    Raises:
      NLRNError: the file cannot be written.
    """
    results = [_finite(scores.result()) for scores in evaluations if scores.images]
    content = results if len(evaluations) > 1 else results[0]
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_results(path: str | os.PathLike) -> list[dict]:
    """The results in a file by `write_scores`; a PSNR of null is infinity again.

    Raises:
      NLRNError: the file cannot be read or is none of these.
    """
    content = read_json(path, object, _PROBLEM)
    with reading(path, _PROBLEM):
        listed = content if isinstance(content, list) else [content]
        results = checked(list[dict[str, object]], listed)
        for number, result in enumerate(results):
            _check_result(result, f"result {number}")
    return results


def _check_result(result: dict, place: str) -> None:
    """Checks a result of a file, and makes a PSNR of null infinity."""
    is_complete = "settings" in result  # others can be read, but not gone on with
    _check_numbers(result, place, _MEANS if is_complete else _PSNR)
    images = checked(list[dict[str, object]], result.get("images"), f"{place}: images")
    result["images"] = images
    for image in images:
        name = checked(str, image.get("name"), f"{place}: name of an image")
        _check_numbers(image, f"{place}: {name}", _OF_IMAGE if is_complete else _PSNR)
    if len({image["name"] for image in images}) < len(images):
        raise MisfitError(f"{place} has an image twice")
    if is_complete:
        checked(dict[str, object], result["settings"], f"{place}: settings")
        task_named(checked(str, result.get("task"), f"{place}: task"))


def _check_numbers(scores: dict, place: str, names: Iterable[str]) -> None:
    for name in _DECIBELS:
        if scores.get(name, 0) is None:
            scores[name] = math.inf
    for name in names:
        checked(float, scores.get(name), f"{place}: {name}")


def resume(
    path: str | os.PathLike, evaluations: Sequence[Scores], names: Iterable[Sequence[str]]
) -> None:
    """Takes the scores that an earlier run has left in a file.

    Args:
      path: the file; nothing happens when there is none.
      evaluations: get its scores.
      names: for each evaluation the images that are to be scored.

    Raises:
      NLRNError: the file is none of scores, or holds some of other settings or of other images,
        which would be lost.
    """
    if not os.path.exists(path):
        return
    remedy = "give another file, or delete this one"
    wanted = list(zip(evaluations, names, strict=True))
    for result in read_results(path):
        if "settings" not in result:
            raise NLRNError(f"{path}: holds scores without all of their settings; {remedy}")
        fixed = {key: result[key] for key in _fixed(result["task"]) if key in result}
        found = _with_exact({**fixed, **result["settings"]})
        differences = [_differences(found, scores.identity()) for scores, _ in wanted]
        if all(differences):
            fewest = min(differences, key=len)
            raise NLRNError(
                f"{path}: holds scores of other settings ({'; '.join(fewest)}); {remedy}"
            )
        scores, asked_for = wanted[differences.index([])]
        images = {image["name"]: image for image in result["images"]}
        others = sorted(set(images) - set(asked_for))
        if others:
            raise NLRNError(
                f"{path}: holds {len(others)} images that are not asked for now, such as "
                f"{others[0]}; ask for them too, or {remedy}"
            )
        scores.images.update(images)


def _conditions(settings: EvaluationSettings, weights_sha256: str | None) -> dict:
    """What scores depend on besides the fixed keys of the file; only what has an influence."""
    options = settings.of_task.options
    conditions: dict = {name: getattr(settings, name) for name in options}
    if settings.method != NETWORK:
        return conditions
    conditions |= {
        "weights_sha256": weights_sha256,
        "self_ensemble": settings.self_ensemble,
        "window_border": settings.window_border,
        "precision": resolved(settings.precision),
    }
    exact = propagates_exactly(settings.precision, settings.exact)
    if exact not in (None, _is_exact(conditions["precision"])):
        conditions["exact"] = exact
    if settings.in_colour:
        conditions["colour"] = settings.colour
    if settings.protocol == "patches":
        conditions |= {"patch_size": settings.patch_size, "stride": settings.stride}
    return conditions


def _with_exact(identity: dict) -> dict:
    """With "exact" where it is left out: it is what the precision stands for by its name."""
    if "precision" not in identity:
        return identity
    return {"exact": _is_exact(identity["precision"]), **identity}


def _is_exact(precision: str) -> bool:
    return precision == "float32"


def _fixed(task: str) -> list[str]:
    """The fixed keys of a result that its scores depend on."""
    setting = task_named(task).setting
    return [*_FIXED, *([setting] if setting else [])]


def _differences(found: dict, wanted: dict) -> list[str]:
    return [
        f"{key} {found.get(key, 'none')} there, {wanted.get(key, 'none')} now"
        for key in {**found, **wanted}
        if found.get(key) != wanted.get(key)
    ]


def _finite(result: dict) -> dict:
    def without_infinity(scores: dict) -> dict:
        infinite = {key: None for key in _DECIBELS if math.isinf(scores[key])}
        return {**scores, **infinite}

    images = [without_infinity(image) for image in result["images"]]
    return {**without_infinity(result), "images": images}
