"""Data sets that packages ship, one file each: checked against a digest, with a split that never changes."""
