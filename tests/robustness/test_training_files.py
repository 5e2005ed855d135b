"""Damaged files of training: each is read right, or refused by one line.

By default 300 of each format; `python -m pytest -m slow tests/robustness --mutations=10000 -s`
tries more, and prints the counts.
"""

import functools
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from nlrn_tf import cli
from nlrn_tf.commands import train as command
from nlrn_tf.config import NLRNConfig
from nlrn_tf.data.pipeline import PipelineConfig, make_dataset
from nlrn_tf.data.record_manifest import describe_shard, load_records
from nlrn_tf.data.records import ensure_records
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.scores import read_results
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.files import write_image
from nlrn_tf.model import NLRN
from nlrn_tf.training.checkpoint import Checkpoint, save_checkpoint
from nlrn_tf.training.history import read_history, record_start
from nlrn_tf.training.start import resumed_run
from nlrn_tf.training.state import first_state
from nlrn_tf.weights.keras_file import read_network
from nlrn_tf.weights.loading import save_model
from tests.support.mutations import mutated
from tests.support.training import SMALL, new_model
from tests.support.training_files import changed_json, with_damaged_entry, with_damaged_json
from tests.support.trials import failures, run_trials, summary

FORMATS = ("keras", "npz", "tfrecord", "manifest", "history", "scores", "flags")
STEP = 3
PIPELINE = PipelineConfig(task="denoise", batch_size=4, patch_size=9)
FLAGS = """# what is trained
--task=denoise
--noise_sigma=25
--sources=BSDS500/train,BSDS500/test
--filters=64,128
--embedding_size=32,64
--phase_ends=0.5
--learning_rate=1e-3
--lr_schedule=cosine
--max_minutes=85
--validation_images=BSDS500/train/12074
--unroll
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder with a sound file of each format."""
    folder = tmp_path_factory.mktemp("sound")
    keras.utils.set_random_seed(1)
    save_model(NLRN(NLRNConfig(4, 2, 2, 5, task="denoise", noise_sigma=25.0)), folder / "a.keras")
    run = Checkpoint(first_state(new_model(SMALL), SMALL), STEP, 12, 0.5, 2, config=SMALL.flat())
    run.filters, run.embedding_size = SMALL.filters[-1], SMALL.embedding_size[-1]
    save_checkpoint(folder, run, keep=1)
    for number in range(5):
        image = np.random.default_rng(number).integers(0, 256, (20 + number, 24), np.uint8)
        write_image(folder / "data" / "set" / f"{number}.png", image)
        write_image(folder / "data" / "Set5" / f"{number}.png", np.tile(image, (2, 2)))
    records(folder, folder / "records")
    record_start(folder, ["run_train.py", "--steps=8"])
    record_start(folder, ["run_train.py", "--steps=9"])
    settings = EvaluationSettings("Set5", scale=2, method="bicubic")
    evaluate(settings, data_dir=folder / "data", json_path=folder / "scores.json")
    (folder / "flags.cfg").write_text(FLAGS)
    return folder


@pytest.mark.slow
def test_damaged_files_are_read_right_or_refused(sound, num_mutations):
    cases = [(name, str(sound), seed) for name in FORMATS for seed in range(num_mutations)]
    verdicts = run_trials(f"{__name__}:check", cases, silent=False)
    for name in FORMATS:
        print(f"\n{name}: {summary([v for v in verdicts if v.case[0] == name])}", end="")
    assert not failures(verdicts, most=20)
    refused = {verdict.case[0] for verdict in verdicts if verdict.outcome == "refused"}
    assert refused >= set(FORMATS) - {"history"}  # of which a new one is begun


def check(case):
    """Reads a damaged file."""
    name, sound, seed = case
    folder = Path(sound) / f"process-{os.getpid()}" / name
    folder.mkdir(parents=True, exist_ok=True)
    return CHECKS[name](Path(sound), folder, seed)


def check_keras(sound, folder, seed):
    content = (sound / "a.keras").read_bytes()
    path = folder / "a.keras"
    path.write_bytes(damaged_archive(content, "config.json", seed))
    network = read_network(path)
    if seed % 3 == 0:
        assert network.config == read_network(sound / "a.keras").config
    with zipfile.ZipFile(path) as archive:
        arrays = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
        described = json.loads(archive.read("config.json"))["config"]["config"]
    assert network.config == NLRNConfig(**described)
    items = []
    arrays.visititems(lambda _, item: items.append(item))
    stored = [item[()].tobytes() for item in items if isinstance(item, h5py.Dataset)]
    assert sorted(stored) == sorted(np.asarray(weight).tobytes() for weight in network.weights)
    return "as the file says"


def check_npz(sound, folder, seed):
    name = f"step-{STEP:08d}.npz"
    content = (sound / name).read_bytes()
    path = folder / "checkpoints" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(damaged_archive(content, "meta.npy", seed))
    run = resumed_run(SMALL, folder)
    source = sound / name if seed % 3 == 0 else path
    with np.load(source) as arrays:
        meta = json.loads(str(arrays["meta"]))
        stored = {key: arrays[key] for key in arrays.files if key != "meta"}
    assert {key: getattr(run, key) for key in meta} == meta
    found = {f"{part}/{key}": v for part, values in run.state.items() for key, v in values.items()}
    assert found.keys() == stored.keys()
    for key, array in stored.items():
        assert array.tobytes() == found[key].tobytes()
    return "as the file says"


def damaged_archive(content, of_json, seed):
    """Damaged anywhere, or behind the checksums: in an entry, or in the values of its JSON."""
    damages = (mutated, with_damaged_entry, lambda c, s: with_damaged_json(c, of_json, s))
    return damages[seed % 3](content, seed)


def check_tfrecord(sound, folder, seed):
    """Beside a manifest; within the checksums of one; or of records that are not complete yet."""
    target = fresh_records(sound, folder)
    shard = load_records(target).paths[seed % 2]
    if seed % 3 == 0:
        shard.write_bytes(mutated(shard.read_bytes(), seed))
        first_batch(target)
        raise AssertionError("was read")
    if seed % 3 == 1:
        shard.write_bytes(mutated(shard.read_bytes(), seed))
        (target / "manifest.json").unlink()
        assert records(sound, target) == load_records(target)
        np.testing.assert_array_equal(first_batch(target), sound_batch(sound))
        return "made again"
    examples = [e.numpy() for e in tf.data.TFRecordDataset(str(shard))]
    number = seed % len(examples)
    examples[number] = mutated(examples[number], seed)
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            writer.write(example)
    manifest = json.loads((target / "manifest.json").read_text())
    place = seed % 2
    described = describe_shard(shard, len(examples))
    manifest["shards"][place] |= {"bytes": described.bytes, "sha256": described.sha256}
    manifest["images"][place + 2 * number]["bytes"] = len(examples[number])
    (target / "manifest.json").write_text(json.dumps(manifest))
    assert first_batch(target).shape == sound_batch(sound).shape
    return "an image of the size in the manifest"


def check_manifest(sound, folder, seed):
    target = fresh_records(sound, folder)
    path = target / "manifest.json"
    path.write_bytes(damaged_json(path.read_bytes(), seed))
    batch = first_batch(target)
    np.testing.assert_array_equal(batch, sound_batch(sound))
    return "the same examples"


def check_history(sound, folder, seed):
    path = folder / "history.json"
    path.write_bytes(damaged_json((sound / "history.json").read_bytes(), seed))
    record_start(folder, ["run_train.py", "--steps=10"])
    starts = read_history(folder)
    assert starts[-1]["command"].endswith("--steps=10")
    if len(starts) > 1:
        return "gone on"
    kept = (folder / "history.damaged.json").read_bytes()
    assert kept in (damaged_json((sound / "history.json").read_bytes(), seed), b"[]")
    return "begun again"


def check_scores(sound, folder, seed):
    path = folder / "scores.json"
    path.write_bytes(damaged_json((sound / "scores.json").read_bytes(), seed))
    [written] = read_results(path)[:1] or [None]
    settings = EvaluationSettings("Set5", scale=2, method="bicubic")
    result = evaluate(settings, data_dir=sound / "data", json_path=path)
    assert [image["name"] for image in result["images"]] == [f"{k}.png" for k in range(5)]
    assert result["psnr"] == pytest.approx(np.mean([image["psnr"] for image in result["images"]]))
    assert written is None or written["dataset"] == "Set5"
    return "gone on"


def check_flags(sound, folder, seed):
    path = folder / "flags.cfg"
    path.write_bytes(mutated(FLAGS.encode(), seed, b"--flagfile=flags.cfg\n--steps=0\n"))
    defined_flags().unparse_flags()
    try:
        flags.FLAGS(["program", *cli._with_flagfiles([f"--flagfile={path}"])])
        config = command._config()
    except flags.Error as error:
        raise NLRNError(" ".join(str(error).split())) from error
    text = path.read_text()
    assert config.task in ("denoise", "sr")
    assert all(str(size) in text for size in config.filters if config.filters != (128,))
    return "as the file says"


CHECKS = {
    "keras": check_keras,
    "npz": check_npz,
    "tfrecord": check_tfrecord,
    "manifest": check_manifest,
    "history": check_history,
    "scores": check_scores,
    "flags": check_flags,
}


def damaged_json(content, seed):
    """Damaged as bytes, or in its values."""
    if seed % 2:
        return mutated(content, seed)
    return json.dumps(changed_json(json.loads(content), seed)).encode()


def records(sound, target):
    return ensure_records(
        target, sound / "data", sources=["set"], channel="grey", num_shards=2, progress=False
    )


def fresh_records(sound, folder):
    target = folder / "records"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(sound / "records", target)
    return target


def first_batch(target):
    return np.asarray(next(iter(make_dataset(target, PIPELINE)))[1])


@functools.cache
def sound_batch(sound):
    return first_batch(sound / "records")


@functools.cache
def defined_flags():
    command.define_flags()
    return flags.FLAGS
