"""The command `nlrn-export` from a checkout; see `nlrn_tf/commands/export.py`."""

from nlrn_tf.commands import export

if __name__ == "__main__":
    export.run()
