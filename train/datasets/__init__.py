"""Data sets of recipes, one file each: where a package keeps them, their digest, and a split that never changes."""
