"""NLRN: Non-Local Recurrent Network for Image Restoration (Liu et al., NeurIPS 2018)."""

import importlib
import typing

from nlrn_tf.weights.registration import register_with_keras

__version__ = "0.2.0"

if typing.TYPE_CHECKING:
    from nlrn_tf.config import NLRNConfig
    from nlrn_tf.imaging.files import read_image, write_image
    from nlrn_tf.imaging.quality import psnr, ssim
    from nlrn_tf.imaging.resize import imresize
    from nlrn_tf.model import NLRN
    from nlrn_tf.restoration.restorer import restore
    from nlrn_tf.weights.loading import load_model

__all__ = [
    "NLRN",
    "NLRNConfig",
    "imresize",
    "load_model",
    "psnr",
    "read_image",
    "restore",
    "ssim",
    "write_image",
]

_HOME_OF = {
    "NLRN": "nlrn_tf.model",
    "NLRNConfig": "nlrn_tf.config",
    "imresize": "nlrn_tf.imaging.resize",
    "load_model": "nlrn_tf.weights.loading",
    "psnr": "nlrn_tf.imaging.quality",
    "read_image": "nlrn_tf.imaging.files",
    "restore": "nlrn_tf.restoration.restorer",
    "ssim": "nlrn_tf.imaging.quality",
    "write_image": "nlrn_tf.imaging.files",
}


register_with_keras()


def __getattr__(name: str):
    # Imported on first use, so that `--help` and the serving clients do not load TensorFlow.
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'nlrn_tf' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
