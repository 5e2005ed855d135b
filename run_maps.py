"""The command `nlrn-maps` from a checkout; see `nlrn_tf/commands/maps.py`."""

from nlrn_tf.commands import maps

if __name__ == "__main__":
    maps.run()
