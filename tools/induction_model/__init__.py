"""What the small model of the tests was made with, in which induction heads are found, removed and patched."""
