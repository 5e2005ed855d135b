"""A network with the weights of another."""

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.precision import POLICIES


def rebuild(model: NLRN, config: NLRNConfig, precision: str = "float32") -> NLRN:
    """A network of another configuration or precision with the weights of `model`.

    Raises:
      NLRNError: the weights do not fit the configuration.
    """
    rebuilt = NLRN(config, dtype=POLICIES[precision])
    shapes = [weight.shape for weight in rebuilt.weights]
    if shapes != [weight.shape for weight in model.weights]:
        changed = [
            f"{name}={value}"
            for name, value in config.to_dict().items()
            if value != model.config.to_dict()[name]
        ]
        raise NLRNError(f"{', '.join(changed)} does not fit the shapes of the weights")
    rebuilt.set_weights(model.get_weights())
    rebuilt.packaged_name = model.packaged_name
    return rebuilt
