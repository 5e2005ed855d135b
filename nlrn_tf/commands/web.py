"""Serves a page in the browser on which photographs are restored: drop one, and compare.

  nlrn-web
  nlrn-web --port=8080 --max_pixels=20000000

The page is for this machine alone, http://127.0.0.1:7860, unless --host says otherwise; it sends
nothing anywhere. Results are those of the command that restores files. Ctrl-C ends it, and deletes
the files that it has kept.
"""

from absl import flags

from nlrn_tf import cli
from nlrn_tf.errors import NLRNError
from nlrn_tf.web.settings import WebSettings


def define_flags() -> None:
    """Defines the flags of the command."""
    cli.define_flags(WebSettings)


def main(_: list[str]) -> None:
    """Serves as the flags say."""
    try:
        settings = WebSettings(**cli.flag_values(WebSettings))
    except NLRNError as error:
        raise flags.Error(str(error)) from error
    from nlrn_tf.web.server import serve

    serve(settings, lambda line: print(line, flush=True), cli.start_tensorflow)


def run() -> None:
    """The program."""
    define_flags()
    cli.run(main, help=__doc__, command="nlrn-web")
