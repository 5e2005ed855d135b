"""NLRN: Non-Local Recurrent Network for Image Restoration (Liu et al., NeurIPS 2018)."""

import importlib

__version__ = "0.1.0"

_HOME_OF = {
    "NLRNConfig": "nlrn_tf.config",
    "NLRN": "nlrn_tf.model",
    "load_model": "nlrn_tf.weights.loading",
    "restore": "nlrn_tf.restoration.restorer",
    "psnr": "nlrn_tf.imaging.quality",
    "ssim": "nlrn_tf.imaging.quality",
    "imresize": "nlrn_tf.imaging.resize",
}

__all__ = list(_HOME_OF)


def __getattr__(name: str):
    # Imported on first use, so that `--help` and the serving clients do not load TensorFlow.
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'nlrn_tf' has no attribute '{name}'")
