"""The configuration of the network; the defaults are the paper's."""

import dataclasses

from nlrn_tf.settings import documented, is_count, is_positive, require, require_choices, setting
from nlrn_tf.tasks.registry import task_names
from nlrn_tf.tasks.super_resolution import AFTER, BEFORE

BORDERS = ("clamp", "circular")

# What they are stands in `layers/similarity.py`.
SIMILARITIES = (
    "embedded_gaussian",
    "symmetric_embedded_gaussian",
    "gaussian",
    "embedded_dot_product",
    "dot_product",
    "euclidean",
)

_MOST = 2**31 - 1  # of a dimension

# The backends of `layers/attention/attend.py`.
ATTENTIONS = ("kernel", "dense", "blocks", "reference")


@documented
@dataclasses.dataclass(frozen=True)
class NLRNConfig:
    """Architecture of an NLRN, and what its weights are for.

    Raises:
      NLRNError: a value is out of its range.
    """

    filters: int = setting(128, "Channels of the recurrent state (paper, section 4: m).")
    embedding_size: int = setting(64, "Channels of the embeddings theta and phi (paper: l).")
    num_states: int = setting(12, "Recurrent states, the unrolled length (paper: T).")
    window_size: int = setting(
        45, "Side of the neighbourhood that a pixel attends to, in pixels (paper: q)."
    )
    window_border: str = setting(
        "clamp",
        "clamp slides the window inwards at the border of the image, so that it stays q x q; "
        "circular wraps it around, as the paper puts it.",
        choices=BORDERS,
    )
    correlation_propagation: bool = setting(
        True,
        "Add each state's correlation to the sum of the earlier ones (equation 7; Table 2 has "
        "both).",
    )
    similarity: str = setting(
        "embedded_gaussian",
        "The correlation of two pixels (Table 1).",
        choices=lambda: SIMILARITIES,
    )
    tied_weights: bool = setting(
        True,
        "Share the convolutions between the states (Table 2 has both). Batch norms always belong "
        "to one state.",
    )
    non_local_every: int = setting(
        1,
        "States from one with the non-local module to the next: 1, 2 or 3 in Table 2; 0 leaves "
        "the module out.",
    )
    unroll: bool = setting(
        False,
        "Run the states one after the other instead of in a loop: the same result from a larger "
        "graph. The windowed attention then keeps the embeddings of the past states only, which "
        "is faster.",
        may_change=True,
    )
    task: str | None = setting(
        None, "What the weights are for; None when unknown.", choices=task_names
    )
    noise_sigma: float | None = setting(
        None, "Noise level that a denoiser is for, in grey levels of 0..255."
    )
    trained_sigma: float | None = setting(
        None, "Noise level of the training, where the weights were scaled to another."
    )
    scales: tuple[int, ...] = setting((), "Factors that a super-resolution network enlarges by.")
    trained_on: tuple[str, ...] = setting(
        (), "Image folders that the weights have seen in training, such as BSDS500/train."
    )
    upsample: str = setting(
        BEFORE,
        "Where super-resolution enlarges: before the network, bicubically, as the paper does, or "
        "after it, by a convolution and a pixel shuffle for each scale. The recurrence then works "
        "on the small image, which is scale^2 times as fast.",
        choices=(BEFORE, AFTER),
    )
    attention: str | None = setting(
        None,
        "Backend of the windowed attention in inference; None takes the fastest compatible one of "
        "this process. blocks is compatible with everything and can be part of a saved graph, "
        "which kernel cannot. Files of weights do not keep it.",
        choices=ATTENTIONS,
    )

    exact_propagation: bool | None = setting(
        None,
        "Whether the correlation of the past states is summed exactly in inference. False keeps "
        "the channels that nearly give the same sum, which is faster and changes PSNR by less than "
        "0.005 dB; None does so where a low precision rounds it anyway. Files of weights do not "
        "keep it.",
    )

    def __post_init__(self):
        object.__setattr__(self, "scales", tuple(self.scales))
        lowest = {"filters": 1, "embedding_size": 1, "num_states": 1, "window_size": 1}
        for name, least in {**lowest, "non_local_every": 0}.items():
            value = getattr(self, name)
            is_right = is_count(value, least) and value <= _MOST
            require(self, name, is_right, f"a whole number of at least {least} and below 2^31")
        for name in ("correlation_propagation", "tied_weights", "unroll"):
            require(self, name, isinstance(getattr(self, name), bool), "True or False")
        is_known = self.exact_propagation in (None, True, False)
        require(self, "exact_propagation", is_known, "True, False or None")
        require_choices(self)
        for name in ("noise_sigma", "trained_sigma"):
            level = getattr(self, name)
            require(self, name, level is None or is_positive(level), "a number above 0")
        require(self, "scales", all(scale > 1 for scale in self.scales), "numbers above 1")
        if self.upsample == AFTER:
            are_apart = len(set(self.scales)) == len(self.scales)
            fits = are_apart and all(is_count(scale, 2) for scale in self.scales)
            require(self, "scales", fits, "different whole numbers above 1 with upsample=after")
        object.__setattr__(self, "trained_on", tuple(self.trained_on))

    @property
    def own_scales(self) -> tuple[int, ...]:
        """The factors that the network itself enlarges by; empty where it keeps the size."""
        return self.scales if self.upsample == AFTER else ()

    def to_dict(self) -> dict:
        """The configuration as JSON types; `NLRNConfig(**config.to_dict())` gives it back."""
        lists = {name: list(getattr(self, name)) for name in ("scales", "trained_on")}
        return {**dataclasses.asdict(self), **lists}
