"""The configuration of the network; the defaults are the paper's."""

import dataclasses

from nlrn_tf.errors import NLRNError

TASKS = ("denoise", "sr")
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

# The backends of `layers/attention/attend.py`.
ATTENTIONS = ("kernel", "dense", "blocks", "reference")


@dataclasses.dataclass(frozen=True)
class NLRNConfig:
    """Architecture of an NLRN, and what its weights are for.

    Attributes:
      filters: channels of the recurrent state (paper section 4: m = 128).
      embedding_size: channels of the embeddings theta and phi (l = 64).
      num_states: recurrent states, i.e. unrolled length (T = 12).
      window_size: side q of the neighbourhood that a pixel attends to, in pixels (45).
      window_border: "clamp" slides the window inwards at the border of the image, so that it
        stays q x q; "circular" wraps it around, as the paper puts it.
      correlation_propagation: adds each state's correlation to the sum of the earlier ones
        (section 3.2, equation 7); Table 2 has both.
      similarity: the correlation of Table 1, one of `SIMILARITIES`.
      tied_weights: shares the convolutions between the states; False is the "untied weights" of
        Table 2. Batch norms always belong to one state.
      non_local_every: the states 1, 1 + k, 1 + 2 k, ... have the non-local module (Table 2
        has k = 1, 2, 3); 0 leaves it out ("RNN without non-local").
      unroll: runs the states as a Python loop instead of one `keras.ops.fori_loop`. The results
        are the same. The windowed attention then keeps the embeddings of the past states only,
        which is faster, and the graph is `num_states` times as large.
      task: "denoise" or "sr" (super-resolution), or None when unknown.
      noise_sigma: the noise level that a denoiser was trained for, in 8-bit grey levels.
      scales: the factors that a super-resolution network was trained for.
      attention: the backend of the windowed attention in inference, one of `ATTENTIONS`; None takes
        the fastest compatible one of this process. "blocks" is compatible with everything and can
        be part of a saved graph, which "kernel" cannot. Training and images that are known to fit
        into the window have ways of their own. No property of the weights: `save_model` leaves it
        out.

    Raises:
      NLRNError: a value is out of its range.
    """

    filters: int = 128
    embedding_size: int = 64
    num_states: int = 12
    window_size: int = 45
    window_border: str = "clamp"
    correlation_propagation: bool = True
    similarity: str = "embedded_gaussian"
    tied_weights: bool = True
    non_local_every: int = 1
    unroll: bool = False
    task: str | None = None
    noise_sigma: float | None = None
    scales: tuple[int, ...] = ()
    attention: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "scales", tuple(self.scales))
        for name in ("filters", "embedding_size", "num_states", "window_size"):
            self._require(name, _is_int(getattr(self, name)) and getattr(self, name) >= 1, ">= 1")
        self._require(
            "non_local_every", _is_int(self.non_local_every) and self.non_local_every >= 0, ">= 0"
        )
        for name in ("correlation_propagation", "tied_weights", "unroll"):
            self._require(name, isinstance(getattr(self, name), bool), "True or False")
        self._require("window_border", self.window_border in BORDERS, f"one of {BORDERS}")
        self._require("similarity", self.similarity in SIMILARITIES, f"one of {SIMILARITIES}")
        self._require(
            "attention",
            self.attention is None or self.attention in ATTENTIONS,
            f"None or one of {ATTENTIONS}",
        )
        self._require("task", self.task is None or self.task in TASKS, f"one of {TASKS}")
        self._require("noise_sigma", self.noise_sigma is None or self.noise_sigma > 0, "> 0")
        self._require("scales", all(scale > 1 for scale in self.scales), "above 1")

    def _require(self, name: str, valid: bool, allowed: str) -> None:
        if not valid:
            raise NLRNError(f"{name}={getattr(self, name)!r} is not allowed: must be {allowed}")

    def to_dict(self) -> dict:
        """The configuration as JSON types; `NLRNConfig(**config.to_dict())` gives it back."""
        return {**dataclasses.asdict(self), "scales": list(self.scales)}


def _is_int(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
