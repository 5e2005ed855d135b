"""The command `nlrn-study` from a checkout; see `nlrn_tf/commands/study.py`."""

from nlrn_tf.commands import study

if __name__ == "__main__":
    study.run()
