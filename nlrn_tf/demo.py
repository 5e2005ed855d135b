"""Restores a noisy photograph and enlarges a small one, and shows what that gained.

  python -m nlrn_tf.demo
  python -m nlrn_tf.demo --photograph=cat --output_dir=demo
  python -m nlrn_tf.demo --weights=mine.keras

The photographs come with scikit-image (CC0, by Lav Varshney and Stéfan van der Walt). The noise has
the level that the weights were trained for. The exit code is 0 only when the results are clearly
nearer to the truth.
"""

import os
from pathlib import Path

import numpy as np
from absl import flags

from nlrn_tf import cli
from nlrn_tf.errors import NLRNError, printable

# In dB. At noise levels from 15 on a sound denoiser gains 8 and more; enlarging gains 1 to 3.
MIN_GAIN, MIN_ENLARGED_GAIN = 5.0, 0.5
SCALE = 3


def demo(
    weights: str | os.PathLike = "denoise_s25",
    output_dir: str | os.PathLike = "build/demo",
    image: np.ndarray | None = None,
) -> tuple[float, float]:
    """Adds noise to a photograph by the fixed rule of the benchmarks, and restores it.

    Writes noisy.png, restored.png, truth.png and comparison.png, which has the three, to
    `output_dir`, and prints the scores.

    Args:
      weights: packaged name or path of a `.keras` file.
      output_dir: folder, made when it does not exist.
      image: uint8 `[H, W]` or RGB `[H, W, 3]`; by default 256x256 pixels of a photograph.

    Returns:
      PSNR in dB of the noisy and of the restored image.

    Raises:
      NLRNError: the weights are not those of a denoiser of known noise level, or gain less than
        `MIN_GAIN`; scikit-image is not installed; a file cannot be written.
    """
    from nlrn_tf.imaging.files import write_image
    from nlrn_tf.imaging.samples import to_uint8
    from nlrn_tf.restoration.restorer import restore
    from nlrn_tf.tasks.denoising import add_gaussian_noise
    from nlrn_tf.weights.loading import load_model

    image = photograph("camera") if image is None else image
    model = load_model(weights, precision="auto")
    sigma = model.config.noise_sigma
    if sigma is None:
        raise NLRNError(f"{weights}: not the weights of a denoiser of known noise level")
    write_image(Path(output_dir) / "truth.png", image)
    noisy = add_gaussian_noise(image, sigma, seed=0)
    results = {"noisy": to_uint8(noisy), "restored": to_uint8(restore(model, noisy))}
    comparison = Path(output_dir) / "comparison.png"
    scores = _shown(f"noise level {sigma:g}", results, image, comparison)
    _require_gain(weights, scores, MIN_GAIN)
    return scores


def enlargement_demo(
    weights: str | os.PathLike = "sr_lite",
    output_dir: str | os.PathLike = "build/demo",
    image: np.ndarray | None = None,
) -> tuple[float, float]:
    """Shrinks a photograph by 3, bicubically and to 8 bits, and enlarges it again.

    Writes small.png, bicubic.png, enlarged.png and enlargement.png (bicubic, enlarged, truth) to
    `output_dir`, and prints the scores.

    Args:
      weights, output_dir, image: as of `demo`; the weights are those of super-resolution.

    Returns:
      PSNR in dB of the image that is enlarged bicubically and of the one by the network.

    Raises:
      NLRNError: the weights do not enlarge by 3, or gain less than `MIN_ENLARGED_GAIN`;
        scikit-image is not installed; a file cannot be written.
    """
    from nlrn_tf.imaging.files import write_image
    from nlrn_tf.imaging.resize import crop_to_multiple, imresize
    from nlrn_tf.restoration.restorer import restore
    from nlrn_tf.weights.loading import load_model

    image = crop_to_multiple(photograph("camera") if image is None else image, SCALE)
    model = load_model(weights, precision="auto")
    if not model.config.scales:
        raise NLRNError(f"{weights}: not the weights of super-resolution")
    small = imresize(image, 1 / SCALE)
    write_image(Path(output_dir) / "small.png", small)
    results = {"bicubic": imresize(small, SCALE), "enlarged": restore(model, small, scale=SCALE)}
    enlargement = Path(output_dir) / "enlargement.png"
    scores = _shown(f"enlarged {SCALE} times", results, image, enlargement, border=SCALE)
    _require_gain(weights, scores, MIN_ENLARGED_GAIN)
    return scores


def _shown(
    heading: str, results: dict[str, np.ndarray], truth: np.ndarray, picture: Path, border: int = 0
) -> tuple[float, float]:
    """Writes two results and their comparison with the truth, and prints and returns the PSNR."""
    from nlrn_tf.imaging.files import write_image
    from nlrn_tf.imaging.montage import comparison
    from nlrn_tf.imaging.quality import psnr

    before, after = (psnr(truth, result, border) for result in results.values())
    captions = [
        f"{name} {score:.2f} dB" for name, score in zip(results, (before, after), strict=True)
    ]
    panels = dict(zip([*captions, "truth"], [*results.values(), truth], strict=True))
    for name, result in {**results, picture.stem: comparison(panels)}.items():
        write_image(picture.with_name(f"{name}.png"), result)
    print(f"{heading}: " + ", ".join(captions))
    print(printable(f"see {picture}"))
    return before, after


def _require_gain(weights: str | os.PathLike, scores: tuple[float, float], least: float) -> None:
    gain = scores[1] - scores[0]
    if gain < least:
        raise NLRNError(
            f"{weights}: gained {gain:.2f} dB where at least {least:g} dB are expected; "
            "are the weights sound?"
        )


def photograph(name: str) -> np.ndarray:
    """Part of a photograph of scikit-image.

    Args:
      name: "camera", grey, or "cat", in colour.

    Returns:
      uint8 `[256, 256]` or RGB `[256, 256, 3]`.
    """
    from skimage import data

    if name == "cat":
        return data.chelsea()[30:286, 100:356]
    return data.camera()[40:296, 120:376]


def main(_: list[str]) -> None:
    cli.start_tensorflow()
    image = photograph(flags.FLAGS.photograph)
    demo(flags.FLAGS.weights, flags.FLAGS.output_dir, image)
    enlargement_demo(flags.FLAGS.sr_weights, flags.FLAGS.output_dir, image)


if __name__ == "__main__":
    flags.DEFINE_string("weights", "denoise_s25", "Packaged name or .keras file of a denoiser.")
    flags.DEFINE_string("sr_weights", "sr_lite", "The same of a network that enlarges.")
    flags.DEFINE_enum("photograph", "camera", ["camera", "cat"], "Grey, or in colour.")
    flags.DEFINE_string("output_dir", "build/demo", "Folder for the images.")
    cli.run(main)
