"""The restorer for each image: by the weights, the noise and the white of the image."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import Photo
from nlrn_tf.imaging.samples import Levels
from nlrn_tf.imaging.white_level import FULL
from nlrn_tf.precision import propagates_exactly
from nlrn_tf.restoration.inference import Model
from nlrn_tf.restoration.noise_level import NoiseEstimate, estimate_noise
from nlrn_tf.restoration.restorer import UNSEEN_LEVEL, Restorer
from nlrn_tf.restoration.settings import AUTO, RestorationSettings
from nlrn_tf.tasks.registry import task_named
from nlrn_tf.weights import loading
from nlrn_tf.weights.level_choice import MAX_LEVEL, denoisers, of_family

Planes = tuple[float, float, float]  # the noise of the opponent planes


class RestorerChoice:
    """Chooses and loads networks.

    Args:
      settings: which network, and how it is applied.
      say: gets a line about each image whose noise or white is not given.
      load: loads a network, see `weights.loading.load_model`.

    Attributes:
      scale: factor by which all images are enlarged; 1 where they are not.

    Raises:
      NLRNError: no such weights, or weights that do not fit the task, the scale or the level.
    """

    def __init__(
        self,
        settings: RestorationSettings,
        say: Callable[[str], None] = print,
        load: Callable[..., Model] = loading.load_model,
    ):
        self._settings = settings
        self._say = say
        self._load_model = load
        self._restorer = functools.cache(self._load)
        self._level = settings.noise_sigma
        if self._level is None and denoisers(settings.network):
            self._level = AUTO  # weights for all levels
        self._fixed = None
        if self._level is None:
            self._fixed = self._restorer(settings.network)
        elif isinstance(self._level, float):
            self._fixed = self._for_level(self._level, self._level)
        self.scale = (self._fixed and self._fixed.scale) or 1

    def __call__(self, photo: Photo, name: str) -> Restorer:
        """The restorer for a photo, see `restorer.restore`; `name` is for the lines about it."""
        levels = self._levels(photo, name)
        restorer = self._fixed
        if restorer is None:
            pixels = photo.pixels if levels is None else levels.unit_range(photo.pixels)
            restorer = self._for_estimate(estimate_noise(_part_seen(pixels)), name)
        if levels is None:
            return restorer
        return dataclasses.replace(restorer, white_level=levels.white, black_level=levels.black)

    def _levels(self, photo: Photo, name: str) -> Levels | None:
        """White and black of a photo of more than 8 bits, alpha being of its own range."""
        found, given = photo.white, self._settings.white_level
        if found is None:
            return None
        if given is not None:
            black = found.black if found.black < given else 0
            return Levels(int(given) if float(given).is_integer() else given, black)
        if found.is_guess and found.value != FULL:
            also = f", black for {found.black:.9g}" if found.black else ""
            self._say(f"{name}: white taken for {found.value:.9g}{also}: {found.reason}")
        return Levels(found.value, found.black)

    def _for_estimate(self, estimate: NoiseEstimate, name: str) -> Restorer:
        sigma = min(max(estimate.sigma, UNSEEN_LEVEL), MAX_LEVEL)
        levels: float | Planes = sigma
        if len(estimate.planes) == 3:
            luma, *chroma = (min(level, MAX_LEVEL) for level in estimate.planes)
            levels = (luma, chroma[0], chroma[1])
        restorer = self._for_level(sigma, levels)
        note = f", but that is uncertain: {estimate.reason}" if estimate.reason else ""
        if estimate.sigma < UNSEEN_LEVEL:
            restorer = dataclasses.replace(restorer, strength=0.0)
            note += ", left as it is"
        self._say(f"{name}: noise level about {estimate.sigma:.1f}{note}")
        return restorer

    def _for_level(self, sigma: float, levels: float | Planes) -> Restorer:
        restorer = self._restorer(str(of_family(self._settings.network, sigma)))
        return dataclasses.replace(restorer, noise_sigma=levels)

    def _load(self, weights: str) -> Restorer:
        settings = self._settings
        exact = propagates_exactly(settings.precision, settings.exact)
        model = self._load_model(weights, precision=settings.precision, exact_propagation=exact)
        check_task(model, settings.task)
        restorer = Restorer(
            model,
            scale=settings.scale,
            strength=settings.strength,
            self_ensemble=settings.self_ensemble,
            tile_size=settings.tile_size,
        )
        if settings.task and task_named(settings.task).enlarges != (restorer.scale is not None):
            raise NLRNError(
                f"task={settings.task}: scale must be given for weights of unknown task when they "
                "enlarge, and only then"
            )
        return restorer


def check_task(model: Model, task: str | None) -> None:
    """Raises NLRNError when a model was trained for another task than the one asked for."""
    trained_for = getattr(getattr(model, "config", None), "task", None)
    if task and trained_for and task != trained_for:
        raise NLRNError(f"task={task}: the weights are for {trained_for}; choose other weights")


def _part_seen(pixels: np.ndarray) -> np.ndarray:
    """The smallest rectangle with all that is not transparent; all where nothing is."""
    if pixels.ndim == 2 or pixels.shape[2] not in (2, 4):
        return pixels
    rows, columns = (np.flatnonzero(pixels[..., -1].any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
