"""How a paged cache is divided, and how what is to be done with it is written down."""

KEYS = 64  # positions of a block

# A tile: its first row, how many rows, the position of the first one in its sequence, where its table begins.
TILE = 4
ROW, ROWS, POSITION, TABLE = 0, 1, 2, 3
