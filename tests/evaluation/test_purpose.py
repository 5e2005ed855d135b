"""Weights are not scored on the images of their training, however they are named."""

import shutil

import pytest

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import check_purpose
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.weights.loading import load_model
from nlrn_tf.weights.manifest import WEIGHTS_DIR


def test_a_copy_of_packaged_weights_is_known(tmp_path):
    copy = tmp_path / "copy.keras"
    shutil.copy(WEIGHTS_DIR / "denoise_lite_s25.keras", copy)
    config = load_model(copy).config
    with pytest.raises(NLRNError, match=r"copy\.keras' were trained with .*table5_s30\.cfg"):
        check_purpose(config, EvaluationSettings("BSD200", noise_sigma=25, weights=str(copy)))
    check_purpose(config, EvaluationSettings("BSD68", noise_sigma=25, weights=str(copy)))


@pytest.mark.parametrize("dataset", ["BSD68", "CBSD68", "BSD100"])
def test_weights_tell_what_they_were_trained_on(dataset):
    config = NLRNConfig(task="denoise", noise_sigma=25.0, trained_on=("BSDS500/val",))
    settings = EvaluationSettings(dataset, noise_sigma=25, weights="own.keras")
    with pytest.raises(NLRNError, match=f"trained with the images of {dataset}"):
        check_purpose(config, settings)
    check_purpose(config, EvaluationSettings("BSD200", noise_sigma=25, weights="own.keras"))


def test_a_folder_above_the_images_counts():
    config = NLRNConfig(task="denoise", noise_sigma=25.0, trained_on=("BSDS500",))
    for dataset in ("BSD68", "BSD200"):
        with pytest.raises(NLRNError, match=f"trained with the images of {dataset}"):
            check_purpose(config, EvaluationSettings(dataset, noise_sigma=25, weights="own.keras"))
    check_purpose(config, EvaluationSettings("Set12", noise_sigma=25, weights="own.keras"))
