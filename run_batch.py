"""The command `nlrn-batch` from a checkout; see `nlrn_tf/commands/batch.py`."""

from nlrn_tf.commands import batch

if __name__ == "__main__":
    batch.run()
