"""The one exception that users see as a single line."""


class NLRNError(Exception):
    """A problem that the user can mend.

    Its message is one line: which file or flag, what is wrong, what to do. The scripts
    print it without a traceback and exit with code 1 (`nlrn_tf.cli.run`).
    """

    _keras_call_info_injected = True  # or Keras would rewrite one raised inside a layer


class NotFiniteError(NLRNError):
    """A network has returned values that are not finite."""
