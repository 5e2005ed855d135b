"""The command `nlrn-eval` from a checkout; see `nlrn_tf/commands/evaluate.py`."""

from nlrn_tf.commands import evaluate

if __name__ == "__main__":
    evaluate.run()
