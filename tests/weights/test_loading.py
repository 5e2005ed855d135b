import json
import zipfile

import keras
import pytest

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.weights import loading, manifest

TINY = nlrn_tf.NLRNConfig(filters=4, embedding_size=2, num_states=2, window_size=5)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "weights.keras"
    loading.save_model(nlrn_tf.NLRN(TINY, dtype="mixed_bfloat16"), path)
    return path


def test_overrides_change_the_configuration_and_keep_the_weights(saved):
    plain = nlrn_tf.load_model(saved)
    changed = nlrn_tf.load_model(saved, window_size=31, window_border="circular")
    assert (changed.config.window_size, changed.config.window_border) == (31, "circular")
    for a, b in zip(plain.get_weights(), changed.get_weights(), strict=True):
        assert (a == b).all()


def test_weights_are_saved_in_float32_whatever_they_were_trained_in(saved):
    assert nlrn_tf.load_model(saved).dtype_policy.name == "float32"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"precision": "float32"}, None),
        ({"precision": "auto"}, False),
        ({"precision": "auto", "exact_propagation": True}, True),
    ],
)
def test_the_propagation_follows_from_what_is_asked_for(saved, tmp_path, options, expected):
    model = nlrn_tf.load_model(saved, **options)
    assert model.config.exact_propagation is expected
    loading.save_model(model, tmp_path / "again.keras")
    assert nlrn_tf.load_model(tmp_path / "again.keras").config.exact_propagation is None


def test_the_backend_of_attention_is_no_matter_of_the_weights(saved, tmp_path):
    """It is written to no file, and files from before it was a setting load."""
    model = nlrn_tf.load_model(saved, attention="blocks")
    assert model.config.attention == "blocks"
    loading.save_model(model, tmp_path / "again.keras")
    assert nlrn_tf.load_model(tmp_path / "again.keras").config.attention is None
    before = tmp_path / "before.keras"
    with zipfile.ZipFile(saved) as file, zipfile.ZipFile(before, "w") as older:
        for member in file.namelist():
            older.writestr(member, file.read(member).replace(b'"attention": null, ', b""))
    with zipfile.ZipFile(before) as older:
        assert b"attention" not in older.read("config.json")
    assert nlrn_tf.load_model(before).config.attention is None
    with pytest.raises(NLRNError, match="attention=fastest is not allowed"):
        nlrn_tf.load_model(saved, attention="fastest")


def test_every_packaged_file_loads_and_matches_its_manifest():
    entries = json.loads((manifest.WEIGHTS_DIR / "manifest.json").read_text())
    files = {path.stem for path in manifest.WEIGHTS_DIR.glob("*.keras")}
    assert files == set(entries) == set(manifest.packaged_names())
    for name in entries:
        config = nlrn_tf.load_model(name).config
        if config.task == "sr":
            assert name == ("sr" if config.filters == 128 else "sr_lite")
        else:
            family = "denoise" if config.filters == 128 else "denoise_lite"
            if "BSDS500/val" in config.trained_on:
                family = "table5"
            assert name == f"{family}_s{config.noise_sigma:g}"


def test_a_changed_packaged_file_is_refused(saved, tmp_path, monkeypatch):
    entry = {"sha256": "0" * 64, "config": {"noise_sigma": None}}
    (tmp_path / "manifest.json").write_text(json.dumps({"weights": entry}))
    monkeypatch.setattr(manifest, "WEIGHTS_DIR", tmp_path)
    manifest.manifest.cache_clear()
    with pytest.raises(NLRNError, match="damaged"):
        nlrn_tf.load_model("weights")
    manifest.manifest.cache_clear()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_states": 3}, "num_states=3"),
        ({"windowsize": 3}, "windowsize"),
        ({"filters": 0}, "filters=0 is not allowed"),
    ],
)
def test_overrides_that_do_not_fit_are_named(saved, overrides, message):
    with pytest.raises(NLRNError, match=message):
        nlrn_tf.load_model(saved, **overrides)


def test_other_files_are_refused(tmp_path, saved):
    with pytest.raises(NLRNError, match="no such weights file"):
        nlrn_tf.load_model("denoise_s99")
    text = tmp_path / "text.keras"
    text.write_text("not a model")
    with pytest.raises(NLRNError, match=r"text\.keras"):
        nlrn_tf.load_model(text)
    truncated = tmp_path / "truncated.keras"
    truncated.write_bytes(saved.read_bytes()[:2000])
    with pytest.raises(NLRNError, match=r"truncated\.keras"):
        nlrn_tf.load_model(truncated)
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    dense.save(tmp_path / "dense.keras")
    with pytest.raises(NLRNError, match="not an NLRN"):
        nlrn_tf.load_model(tmp_path / "dense.keras")


def test_a_missing_name_lists_those_there_are():
    with pytest.raises(NLRNError) as raised:
        nlrn_tf.load_model("denoise_s26")
    names = [*manifest.packaged_names(), "denoise", "denoise_lite", "table5"]
    listed = str(raised.value).partition("there are: ")[2].rstrip(")").split(", ")
    assert sorted(listed) == sorted(names)
