"""Files of scores that are damaged, or that another process writes."""

import json

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.scores import read_results
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.files import write_image
from nlrn_tf.storage.locks import lock_file

SETTINGS = EvaluationSettings("Set5", scale=2, method="bicubic")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of data sets with a Set5 of noise, and its scores."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(5):
        image = np.random.default_rng(number).integers(0, 256, (30, 40), np.uint8)
        write_image(folder / "Set5" / f"{number}.png", image)
    evaluate(SETTINGS, data_dir=folder, json_path=folder / "scores.json")
    return folder


def put(value, *keys):
    def change(result):
        for key in keys[:-1]:
            result = result[key]
        result[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("high", "psnr"), "psnr must be a number, not 'high'"),
        (put(None, "ssim"), "ssim must be a number, not None"),
        (put({}, "images"), "images must be a list"),
        (put(7, "images", 0), "must be an object, not 7"),
        (put([], "images", 0, "name"), "name of an image must be a text"),
        (put("1.png", "images", 0, "name"), "has an image twice"),
        (put("1", "images", 0, "seconds"), "seconds must be a number"),
        (put([], "settings"), "settings must be an object"),
        (put([], "task"), "task must be a text"),
        (put("dehaze", "task"), "task='dehaze' is unknown"),
    ],
)
def test_scores_of_other_types_are_refused_and_kept(data, tmp_path, change, message):
    result = json.loads((data / "scores.json").read_text())
    change(result)
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(result))
    content = path.read_bytes()
    with pytest.raises(NLRNError) as caught:
        evaluate(SETTINGS, data_dir=data, json_path=path)
    assert str(caught.value).startswith(f"{path}: not a file of scores by `run_eval.py --json` (")
    assert message in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", ["", "[" * 100_000, '{"images": 7', "7", "[[]]", "\x00"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "scores.json"
    path.write_text(content)
    with pytest.raises(NLRNError, match=r"scores\.json: not a file of scores"):
        read_results(path)


def test_one_process_at_a_time_writes_a_file_of_scores(data, tmp_path):
    path = tmp_path / "scores.json"
    expected = pytest.raises(NLRNError, match=r"scores\.json: in use by process \d+ on")
    with lock_file(path), expected:
        evaluate(SETTINGS, data_dir=data, json_path=path)
    evaluate(SETTINGS, data_dir=data, json_path=path)
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]
