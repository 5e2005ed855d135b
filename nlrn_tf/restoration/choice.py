"""The restorer for each image: one for all, or by the noise of each."""

import functools
from collections.abc import Callable

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.restoration.inference import Model
from nlrn_tf.restoration.noise_level import estimate_noise_sigma, nearest_denoiser
from nlrn_tf.restoration.restorer import Restorer
from nlrn_tf.restoration.settings import AUTO, RestorationSettings
from nlrn_tf.tasks.registry import task_named
from nlrn_tf.weights import loading


class RestorerChoice:
    """Chooses and loads networks.

    Args:
      settings: which network, and how it is applied.
      say: gets a line about each network that `noise_sigma` chooses.

    Attributes:
      scale: factor by which all images are enlarged; 1 where they are not.

    Raises:
      NLRNError: no such weights, or weights that do not fit the task or the scale.
    """

    def __init__(self, settings: RestorationSettings, say: Callable[[str], None] = print):
        self._settings = settings
        self._say = say
        self._restorer = functools.cache(self._load)
        self._fixed: Restorer | None = None
        if settings.noise_sigma is None:
            self._fixed = self._restorer(settings.network)
        elif settings.noise_sigma != AUTO:
            name, level = nearest_denoiser(float(settings.noise_sigma))
            say(
                f"noise level {settings.noise_sigma:g}: {name}, for {level:g}, is the nearest "
                "packaged network"
            )
            self._fixed = self._restorer(name)
        self.scale = (self._fixed and self._fixed.scale) or 1

    def __call__(self, image: np.ndarray, name: str) -> Restorer:
        """The restorer for an image, see `restorer.restore`; `name` is for the line about it."""
        if self._fixed is not None:
            return self._fixed
        estimate = estimate_noise_sigma(image)
        weights, level = nearest_denoiser(estimate)
        self._say(f"{name}: noise level about {estimate:.1f}, restored by {weights}, for {level:g}")
        return self._restorer(weights)

    def _load(self, weights: str) -> Restorer:
        settings = self._settings
        model = loading.load_model(weights, precision=settings.precision)
        check_task(model, settings.task)
        restorer = Restorer(
            model,
            scale=settings.scale,
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
