"""The command `nlrn-train` from a checkout; see `nlrn_tf/commands/train.py`."""

from nlrn_tf.commands import train

if __name__ == "__main__":
    train.run()
