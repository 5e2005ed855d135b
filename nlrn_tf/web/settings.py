"""How the page is served: the settings behind the flags of `run_web.py`. Light."""

import dataclasses

from nlrn_tf.settings import documented, is_count, require, setting

LOCAL = ("127.0.0.1", "localhost", "::1")  # names of this machine for itself


@documented
@dataclasses.dataclass(frozen=True)
class WebSettings:
    """What the page takes, and from whom.

    Raises:
      NLRNError: a value is not possible.
    """

    host: str = setting(
        LOCAL[0],
        "Address that the page listens on. The default is for this machine alone; 0.0.0.0 lets in "
        "everyone who can reach it.",
    )
    port: int | None = setting(
        None, "Port; 0 for any that is free. Default: the first free one from 7860 to 7959."
    )
    weights: str | None = setting(
        None,
        "Weights of the denoiser: packaged by name or by family, or path of a .keras file. "
        "Default: the visitor chooses between the families auto, denoise and denoise_lite.",
    )
    max_pixels: int = setting(
        50_000_000, "Refuse images that have more pixels, or would have when they are enlarged."
    )
    max_megabytes: int = setting(200, "Refuse files that are larger.")
    max_waiting: int = setting(
        10, "How many images may wait for their turn; they are restored one after the other."
    )

    def __post_init__(self):
        ports = self.port is None or 0 <= self.port < 65536
        require(self, "port", ports, "a number from 0 to 65535")
        for name in ("max_pixels", "max_megabytes", "max_waiting"):
            require(self, name, is_count(getattr(self, name)), "at least 1")
