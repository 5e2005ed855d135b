"""The command `nlrn-restore` from a checkout; see `nlrn_tf/commands/restore.py`."""

from nlrn_tf.commands import restore

if __name__ == "__main__":
    restore.run()
