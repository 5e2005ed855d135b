import json
from pathlib import Path

import numpy as np
import pytest

import nlrn_tf
from maintenance.packaged_weights import add_scores, package_weights
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.scores import Scores, write_scores
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.training.checkpoint import Checkpoint, save_checkpoint
from nlrn_tf.training.curve import COLUMNS
from nlrn_tf.training.history import read_history, record_start
from nlrn_tf.weights.loading import save_model
from nlrn_tf.weights.manifest import manifest, sha256


@pytest.fixture
def run(tmp_path):
    """A work folder as training leaves it."""
    config = nlrn_tf.NLRNConfig(4, 2, 2, 5, task="denoise", noise_sigma=25.0)
    for name in ("weights.keras", "best.keras"):
        save_model(nlrn_tf.NLRN(config), tmp_path / name)
    (tmp_path / "curve.csv").write_text(f"{','.join(COLUMNS)}\n5,1.5,3,0.001,49,27,28.0\n")
    checkpoint = Checkpoint({"trainable": {"a": np.zeros(2)}}, step=5, minutes=1.5, best=28.0)
    save_checkpoint(tmp_path / "checkpoints", checkpoint, keep=1)
    record_start(tmp_path, ["run_train.py", "--flagfile=my flags.cfg"])
    return tmp_path


def test_history_grows_with_each_start(run):
    record_start(run, ["run_train.py", "--steps=2"])
    first, second = read_history(run)
    assert first["command"] == "python run_train.py '--flagfile=my flags.cfg'"
    assert second["command"].endswith("--steps=2")
    assert "cores" in first["machine"]


def test_the_weights_that_validation_chose_are_packaged(run, tmp_path):
    best = nlrn_tf.load_model(run / "best.keras")
    rows = ["4,1.0,3,0.001,50,27,28.1", "5,1.5,3,0.001,49,27,28.3", "6,2.0,3,0.001,48,27,28.2"]
    (run / "curve.csv").write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    entry = package_weights("denoise_s25", run, [], tmp_path / "package")
    assert entry["run_sha256"] == sha256(run / "best.keras")
    assert (entry["steps"], entry["minutes"]) == (5, 1.5)
    packaged = nlrn_tf.load_model(tmp_path / "package" / "denoise_s25.keras")
    for weight, expected in zip(packaged.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("name", ["best.keras", "curve.csv"])
def test_a_run_without_validation_is_not_packaged(run, tmp_path, name):
    (run / name).unlink()
    with pytest.raises(NLRNError, match=f"{name}: is missing; train with --validation_images"):
        package_weights("denoise_s25", run, [], tmp_path / "package")
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("name", ["denoise_s25", "denoise_s15"])
def test_a_run_that_went_on_from_packaged_weights(run, tmp_path, name):
    folder = tmp_path / "package"
    header = ",".join(COLUMNS)
    first = ["3,1,3,0.01,50,27,28.1", "5,1.5,3,0.01,49,27,28.3", "8,2,3,0.01,49,27,28.2"]
    (run / "curve.csv").write_text("\n".join([header, *first, ""]))
    with pytest.raises(NLRNError, match="not packaged"):
        package_weights(name, run, [], folder, continues=["denoise_s25"])
    package_weights("denoise_s25", run, [], folder)
    with pytest.raises(NLRNError, match="in its history already"):
        package_weights(name, run, [], folder, continues=["denoise_s25"])
    (run / "history.json").unlink()
    record_start(run, ["run_train.py", "--init_weights=denoise_s25"])
    (run / "curve.csv").write_text(f"{header}\n5,1.5,3,0.002,48,nan,28.4\n")
    entry = package_weights(name, run, [], folder, continues=["denoise_s25"])
    assert (entry["steps"], entry["minutes"]) == (10, 3.0)
    commands = [start["command"] for start in entry["starts"]]
    assert commands == [
        "python run_train.py '--flagfile=my flags.cfg'",
        "python run_train.py --init_weights=denoise_s25",
    ]
    joined = (folder / f"{name}_curve.csv").read_text().splitlines()
    # What the first run did after its best weights is not part of what led to the new ones.
    assert joined == [header, *first[:2], "10,3,3,0.002,48,nan,28.4"]


def test_a_run_that_went_on_from_weights_for_another_level(run, tmp_path):
    """What was validated at another level counts, but has no place in the curve."""
    folder, header = tmp_path / "package", ",".join(COLUMNS)
    package_weights("denoise_s25", run, [], folder)
    networks = [nlrn_tf.load_model(run / "best.keras", noise_sigma=level) for level in (50.0, 25.0)]
    before: list[str] = ["denoise_s25"]
    for name, network in zip(("denoise_s50", "new"), networks, strict=True):
        save_model(network, run / "best.keras")
        (run / "history.json").unlink()
        record_start(run, ["run_train.py", f"--workdir={name}"])
        (run / "curve.csv").write_text(f"{header}\n20,2,3,0.01,49,27,25.5\n")
        entry = package_weights(name, run, [], folder, continues=before if name == "new" else [])
        before.append(name)
    assert (entry["steps"], entry["minutes"]) == (5 + 20 + 20, 1.5 + 2 + 2)
    assert [start["command"].split("=")[-1] for start in entry["starts"]][1:] == [
        "denoise_s50",
        "new",
    ]
    rows = (folder / "new_curve.csv").read_text().splitlines()[1:]
    assert rows == ["5,1.5,3,0.001,49,27,28", "45,5.5,3,0.01,49,27,25.5"]


def scores_of(weights, path, dataset="Set12", images=12, **settings):
    """A file of scores as run_eval.py writes it, of a made-up restoration."""
    sigma = settings.pop("noise_sigma", 25)
    settings = {"noise_sigma": sigma, "weights": str(weights), "precision": "float32", **settings}
    scores = Scores(EvaluationSettings(dataset, **settings), sha256(weights))
    for k in range(images):
        name = f"{k + 1:02}.png"
        values = {"psnr": 29.5 + k, "ssim": 0.8, "input_psnr": 20.0, "input_ssim": 0.3}
        scores.images[name] = {"name": name, **values, "seconds": 40.0 - k}
    write_scores(path, [scores])
    return path


def test_weights_curve_and_entry_are_written(run, tmp_path):
    scores = scores_of(run / "best.keras", tmp_path / "set12.json")
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"other": {}}')
    entry = package_weights("denoise_s25", run, [scores], folder)
    written = json.loads((folder / "manifest.json").read_text())
    assert set(written) == {"denoise_s25", "other"}
    assert written["denoise_s25"] == json.loads(json.dumps(entry))
    assert (entry["steps"], entry["minutes"]) == (5, 1.5)
    assert entry["sha256"] == sha256(folder / "denoise_s25.keras")
    found = entry["scores"][0]
    assert (found["psnr"], found["ssim"], found["input_psnr"]) == (35.0, pytest.approx(0.8), 20)
    assert (found["self_ensemble"], found["precision"], found["subset"]) == (False, "float32", [])
    assert found["images"] == {"12.png": 40.5, "11.png": 39.5}  # the quickest
    assert (folder / entry["curve"]).read_text() == (run / "curve.csv").read_text()
    assert nlrn_tf.load_model(folder / "denoise_s25.keras").config.noise_sigma == 25


def test_scores_are_added_and_replaced(run, tmp_path):
    folder, weights = tmp_path / "package", run / "best.keras"
    package_weights("denoise_s25", run, [scores_of(weights, tmp_path / "1.json")], folder)
    ensemble = scores_of(weights, tmp_path / "2.json", self_ensemble=True)
    subset = scores_of(folder / "denoise_s25.keras", tmp_path / "3.json", images=2)
    entry = add_scores("denoise_s25", [ensemble, subset], folder)
    assert [score["self_ensemble"] for score in entry["scores"]] == [False, True, False]
    assert [score["subset"] for score in entry["scores"]] == [[], [], ["01", "02"]]
    again = add_scores("denoise_s25", [ensemble, subset], folder)
    assert again["scores"] == entry["scores"]
    assert json.loads((folder / "manifest.json").read_text())["denoise_s25"] == again


def test_scores_of_other_weights_are_refused(run, tmp_path):
    folder = tmp_path / "package"
    package_weights("denoise_s25", run, [], folder)
    before = (folder / "manifest.json").read_bytes()
    other = run / "other.keras"
    save_model(nlrn_tf.NLRN(nlrn_tf.NLRNConfig(4, 2, 2, 5)), other)
    scores = scores_of(other, tmp_path / "other.json")
    with pytest.raises(NLRNError, match=r"other\.json.*other weights"):
        add_scores("denoise_s25", [scores], folder)
    with pytest.raises(NLRNError, match=r"other\.json.*other weights"):
        package_weights("denoise_s25", run, [scores], folder)
    with pytest.raises(NLRNError, match="not packaged"):
        add_scores("denoise_s15", [scores], folder)
    assert (folder / "manifest.json").read_bytes() == before


def test_a_folder_without_a_run_and_a_wrong_file_of_scores_are_refused(run, tmp_path):
    with pytest.raises(NLRNError, match="no checkpoint"):
        package_weights("x", tmp_path / "nothing", [], tmp_path / "package")
    (tmp_path / "text.json").write_text("no scores")
    with pytest.raises(NLRNError, match=r"text\.json"):
        package_weights("x", run, [Path(tmp_path / "text.json")], tmp_path / "package")


KEPT_SETS = ("Set12", "Set5", "BSD200")  # each network is scored on one of them


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(manifest()))
def test_packaged_weights_reproduce_their_scores(data_dir, name):
    """On the images whose scores the manifest keeps, to 0.03 dB: the precision may differ."""
    plain = [score for score in manifest()[name]["scores"] if not score["self_ensemble"]]
    scores = next(score for score in plain if score["dataset"] in KEPT_SETS)
    expected = scores["images"]
    images = tuple(Path(image).stem for image in expected)
    settings = {key: scores[key] for key in ("noise_sigma", "scale") if key in scores}
    result = evaluate(
        EvaluationSettings(scores["dataset"], images=images, weights=name, **settings),
        data_dir=data_dir,
    )
    found = {image["name"]: image["psnr"] for image in result["images"]}
    assert len(found) == 2
    assert found == pytest.approx(expected, abs=0.03)
