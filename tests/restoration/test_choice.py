"""Which network restores an image, and at which level."""

import dataclasses
import json

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf import precision
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import Photo, read_photo, write_image
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.layers import compiled
from nlrn_tf.restoration.choice import RestorerChoice
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.settings import RestorationSettings
from nlrn_tf.weights import level_choice, loading, manifest
from nlrn_tf.weights.rebuilding import rebuild
from nlrn_tf.weights.released import import_saved_model

TINY = {"filters": 4, "embedding_size": 2, "num_states": 1, "window_size": 5}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of tiny denoisers, none of whose scores are known, and one that enlarges."""
    folder, entries = tmp_path / "weights", {}
    names = ("denoise_s15", "denoise_s50", "denoise_lite_s25")
    configs = {name: {"task": "denoise", "noise_sigma": float(name[-2:])} for name in names}
    rng = np.random.default_rng(0)
    for name, config in {**configs, "sr": {"task": "sr", "scales": (2,)}}.items():
        model = nlrn_tf.NLRN(nlrn_tf.NLRNConfig(**TINY, **config))
        model.set_weights([w + rng.uniform(0, 0.05, w.shape) for w in model.get_weights()])
        loading.save_model(model, folder / f"{name}.keras")
        sha256 = manifest.sha256(folder / f"{name}.keras")
        entries[name] = {"sha256": sha256, "config": model.config.to_dict()}
    (folder / "manifest.json").write_text(json.dumps(entries))
    monkeypatch.setattr(manifest, "WEIGHTS_DIR", folder)
    manifest.manifest.cache_clear()
    yield entries
    manifest.manifest.cache_clear()


@pytest.fixture
def loaded(monkeypatch):
    """The names of the weights that are loaded, in order."""
    names, real = [], loading.load_model
    monkeypatch.setattr(
        loading, "load_model", lambda name, **options: names.append(name) or real(name, **options)
    )
    return names


def noisy(sigma, shape=(120, 150), seed=0):
    waves = np.sin(np.arange(shape[0]) / 20)[:, None] * np.cos(np.arange(shape[1]) / 15)
    clean = (0.5 + 0.2 * waves)[(..., *[None] * (len(shape) - 2))] * np.ones(shape)
    return clean + np.random.default_rng(seed).normal(0, sigma / 255, shape)


def run(tmp_path, images, **settings):
    """Restores images by name; gives the results and what was said."""
    for name, image in images.items():
        write_image(tmp_path / "in" / name, image)
    said = []
    settings = RestorationSettings(precision="float32", **settings)
    restore_files(settings, [tmp_path / "in"], tmp_path / "out", say=said.append)
    return {name: read_photo(tmp_path / "out" / name).pixels for name in images}, said


def test_a_level_takes_the_best_weights_and_scales_them(package, tmp_path, loaded):
    image = to_uint8(noisy(40))
    found, said = run(tmp_path, {"a.png": image, "b.png": image}, noise_sigma=40)
    assert (loaded, said) == (["denoise_s50"], [])
    expected = nlrn_tf.restore(nlrn_tf.load_model("denoise_s50", noise_sigma=40.0), image)
    assert np.abs(found["a.png"].astype(int) - expected).max() <= 1
    as_trained = nlrn_tf.restore(nlrn_tf.load_model("denoise_s50"), image)
    assert (found["a.png"] != as_trained).any()


def test_by_default_each_image_is_restored_at_its_own_level(package, tmp_path, loaded):
    levels = {"a.png": 14, "b.png": 45, "c.png": 17}
    images = {name: to_uint8(noisy(sigma)) for name, sigma in levels.items()}
    found, said = run(tmp_path, images)
    assert loaded == ["denoise_s15", "denoise_s50"]  # each once
    for line, (name, sigma) in zip(said, levels.items(), strict=True):
        assert line.startswith(f"{name}: noise level about ")
        estimate = float(line.split("about ")[1])
        assert estimate == pytest.approx(sigma, rel=0.06)
        model = nlrn_tf.load_model(f"denoise_s{50 if sigma > 27 else 15}")
        expected = nlrn_tf.restore(model, images[name], noise_sigma=estimate)
        assert np.abs(found[name].astype(int) - expected).max() <= 1


def test_a_family_or_weights_that_are_given_are_scaled(package, tmp_path, loaded):
    images = {"a.png": to_uint8(noisy(40))}
    for weights in ("denoise_lite", "denoise_lite_s25", "denoise_s15"):
        found, _ = run(tmp_path / weights, images, noise_sigma=40, weights=weights)
        name = "denoise_lite_s25" if weights == "denoise_lite" else weights
        assert loaded.pop() == name
        expected = nlrn_tf.restore(nlrn_tf.load_model(name, noise_sigma=40.0), images["a.png"])
        loaded.clear()
        assert np.abs(found["a.png"].astype(int) - expected).max() <= 1


def test_weights_for_one_level_keep_it(package, tmp_path):
    image = to_uint8(noisy(40))
    found, said = run(tmp_path, {"a.png": image}, weights="denoise_s15")
    assert said == []
    expected = nlrn_tf.restore(nlrn_tf.load_model("denoise_s15"), image)
    np.testing.assert_array_equal(found["a.png"], expected)


def test_a_clean_image_is_left_as_it_is(package, tmp_path):
    image = to_uint8(noisy(0))
    found, said = run(tmp_path, {"a.png": image})
    np.testing.assert_array_equal(found["a.png"], image)
    assert said[0].endswith("left as it is")


def test_the_noise_of_a_cut_out_is_that_of_what_is_seen(package, tmp_path):
    """Most of it is black and transparent, which is no drawing."""
    image = to_uint8(noisy(25))
    height, width = image.shape[:2]
    wide = np.pad(
        np.dstack([image, np.full_like(image, 255)]), ((0, 2 * height), (0, width), (0, 0))
    )
    _, said = run(tmp_path, {"a.png": wide[..., [0, 0, 0, 1]], "b.png": image})
    levels = [float(line.split("about ")[1].split()[0].rstrip(",")) for line in said]
    assert abs(levels[0] - levels[1]) < 1


def test_an_uncertain_estimate_is_called_so(package, tmp_path):
    _, said = run(tmp_path, {"a.png": to_uint8(noisy(25, (5, 9)))})
    assert "but that is uncertain: " in said[0]


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_16_are_restored_at_their_own_white(package, tmp_path, bits):
    """As the same picture with 8 bits is, up to rounding."""
    white = 2**bits - 1
    image = noisy(25).clip(0, 1)
    found, said = run(tmp_path, {"a.png": np.rint(image * white).astype(np.uint16)}, noise_sigma=25)
    assert f"white taken for {white}" in said[0]
    assert found["a.png"].dtype == np.uint16
    expected = nlrn_tf.restore(
        nlrn_tf.load_model("denoise_s15"), image.astype(np.float32), noise_sigma=25.0
    )
    difference = np.sqrt(np.mean((found["a.png"] / white - expected) ** 2))
    assert difference < 1 / white
    again, said = run(
        tmp_path / "told",
        {"a.png": np.rint(image * white).astype(np.uint16)},
        noise_sigma=25,
        white_level=white,
    )
    assert said == []
    np.testing.assert_array_equal(again["a.png"], found["a.png"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_sigma": 25, "scale": 2.0}, "leave out scale=2"),
        ({"noise_sigma": "auto", "task": "sr"}, "leave out task=sr"),
        ({"noise_sigma": 0}, "above 0"),
        ({"noise_sigma": "151"}, "at most 150"),
        ({"noise_sigma": float("nan")}, "above 0"),
        ({"strength": 1.5}, "strength=1.5"),
        ({"white_level": 0}, "white_level=0"),
    ],
)
def test_what_is_not_possible_is_refused(options, message):
    with pytest.raises(NLRNError, match=message):
        RestorationSettings(**options)


def test_a_level_for_weights_that_enlarge_is_refused(package, tmp_path):
    write_image(tmp_path / "a.png", np.zeros((9, 9), np.uint8))
    settings = RestorationSettings(weights="sr", noise_sigma=25)
    with pytest.raises(NLRNError, match="noise_sigma=25"):
        restore_files(settings, [tmp_path / "a.png"], tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_a_family_without_a_level_asks_for_one(package):
    with pytest.raises(NLRNError, match=r"is a family of denoisers .* give noise_sigma"):
        nlrn_tf.load_model("denoise")
    assert nlrn_tf.load_model("denoise", noise_sigma=17.0).packaged_name == "denoise_s15"
    assert dataclasses.is_dataclass(nlrn_tf.load_model("denoise", noise_sigma=17.0).config)
    assert level_choice.denoisers("denoise_lite") == {"denoise_lite_s25": 25.0}


@pytest.mark.slow
def test_the_exact_sum_is_nearer_to_the_definition(reference_dir, tmp_path, monkeypatch):
    """The reference is computed in float64, a window for each pixel."""
    monkeypatch.setenv(compiled.VARIABLE, compiled.OFF)  # some kernels keep the sum themselves
    monkeypatch.setattr(precision, "_cpu_multiplies", lambda: False)
    model = import_saved_model(reference_dir / "released_sigma15", noise_sigma=15.0, task="denoise")
    model = rebuild(model, dataclasses.replace(model.config, window_size=15))
    loading.save_model(model, tmp_path / "released.keras")
    oracle = np.load(reference_dir / "whole_image_reference.npz")
    errors = {}
    for exact in (True, False):
        settings = RestorationSettings(weights=str(tmp_path / "released.keras"), exact=exact)
        restorer = RestorerChoice(settings)(Photo(np.zeros((8, 8), np.uint8)), "")
        errors[exact] = np.abs(restorer.plane(oracle["noisy"]) - oracle["clamp_q15"]).max()
    assert errors[True] < 2e-5 < errors[False] < 0.02
