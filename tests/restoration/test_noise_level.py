import json

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, to_uint8, write_image
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.noise_level import denoiser_levels, nearest_denoiser
from nlrn_tf.weights import manifest
from nlrn_tf.weights.loading import save_model


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of tiny denoisers for 15 and 50 and a network for super-resolution."""
    folder, entries = tmp_path / "weights", {}
    tiny = {"filters": 4, "embedding_size": 2, "num_states": 1, "window_size": 5}
    configs = {f"denoise_s{s}": {"task": "denoise", "noise_sigma": float(s)} for s in (15, 50)}
    for name, config in {**configs, "sr": {"task": "sr", "scales": (2,)}}.items():
        model = nlrn_tf.NLRN(nlrn_tf.NLRNConfig(**tiny, **config))
        save_model(model, folder / f"{name}.keras")
        sha256 = manifest.sha256(folder / f"{name}.keras")
        entries[name] = {"sha256": sha256, "config": model.config.to_dict()}
    (folder / "manifest.json").write_text(json.dumps(entries))
    monkeypatch.setattr(manifest, "WEIGHTS_DIR", folder)
    manifest.manifest.cache_clear()
    yield entries
    manifest.manifest.cache_clear()


def smooth(height=120, width=150):
    waves = np.sin(np.arange(height) / 20)[:, None] * np.cos(np.arange(width) / 15)
    return 0.5 + 0.2 * waves


def noisy(sigma, seed=0, shape=()):
    image = smooth()[(..., *[None] * len(shape))] * np.ones(shape)
    return image + np.random.default_rng(seed).normal(0, sigma / 255, image.shape)


@pytest.mark.parametrize(("sigma", "expected"), [(1, 15), (32, 15), (33, 50), (200, 50)])
def test_the_nearest_level_is_chosen(package, sigma, expected):
    assert denoiser_levels() == {"denoise_s15": 15, "denoise_s50": 50}
    assert nearest_denoiser(sigma) == (f"denoise_s{expected}", expected)


@pytest.mark.parametrize(("filters", "expected"), [(3, "denoise_s15"), (5, "denoise_lite_s15")])
def test_of_one_level_the_larger_network_is_chosen(package, filters, expected):
    entry = package["denoise_s15"]
    lite = {**entry, "config": {**entry["config"], "filters": filters}}
    manifest.manifest()["denoise_lite_s15"] = lite
    assert nearest_denoiser(20) == (expected, 15)


def test_a_package_without_denoisers_says_so(package):
    for name in ("denoise_s15", "denoise_s50"):
        del manifest.manifest()[name]
    with pytest.raises(NLRNError, match="no denoiser is packaged"):
        nearest_denoiser(25)


def test_a_level_chooses_the_model_for_all_images(package, tmp_path):
    write_image(tmp_path / "in" / "a.png", to_uint8(noisy(15)))
    write_image(tmp_path / "in" / "b.png", to_uint8(noisy(50)))
    said = []
    options = {"noise_sigma": 40.0, "precision": "float32", "say": said.append}
    restore_files(None, [tmp_path / "in"], tmp_path / "out", **options)
    assert said == ["noise level 40: denoise_s50, for 50, is the nearest packaged network"]
    for name in ("a.png", "b.png"):
        expected = nlrn_tf.restore(
            nlrn_tf.load_model("denoise_s50"), read_image(tmp_path / "in" / name)
        )
        np.testing.assert_array_equal(read_image(tmp_path / "out" / name), expected)


def test_each_image_gets_the_model_for_its_noise(package, tmp_path, monkeypatch):
    levels = {"a.png": 14, "b.png": 45, "c.png": 17}
    for name, sigma in levels.items():
        write_image(tmp_path / "in" / name, to_uint8(noisy(sigma)))
    said, loaded = [], []
    real = nlrn_tf.weights.loading.load_model
    monkeypatch.setattr(
        nlrn_tf.weights.loading,
        "load_model",
        lambda name, **options: loaded.append(name) or real(name, **options),
    )
    restore_files(None, [tmp_path / "in"], tmp_path / "out", noise_sigma="auto", say=said.append)
    assert loaded == ["denoise_s15", "denoise_s50"]  # each once
    assert len(said) == 3
    for line, (name, sigma) in zip(said, levels.items(), strict=True):
        assert line.startswith(f"{name}: noise level about ")
        estimate = float(line.split("about ")[1].split(",")[0])
        assert estimate == pytest.approx(sigma, rel=0.06)
        assert f"by denoise_s{50 if sigma > 32 else 15}," in line


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (None, {}, "either"),
        ("sr", {"noise_sigma": 25}, "either"),
        (None, {"noise_sigma": 25, "scale": 2}, "no scale"),
        (None, {"noise_sigma": "auto", "task": "sr"}, "no task sr"),
    ],
)
def test_contradictions_are_refused(tmp_path, model, options, message):
    with pytest.raises(NLRNError, match=message):
        restore_files(model, [tmp_path], tmp_path / "out", **options)
