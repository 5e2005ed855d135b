"""The command `nlrn-web` from a checkout; see `nlrn_tf/commands/web.py`."""

from nlrn_tf.commands import web

if __name__ == "__main__":
    web.run()
