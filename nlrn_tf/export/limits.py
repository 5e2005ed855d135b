"""Limits of the exported model. Light: the command shows them in its help."""

# 2048 x 2048. Beside the 3 GiB for a tile, memory is about 100 bytes a pixel; time is the limit.
MAX_PIXELS = 2048**2
