"""Data sets for recipes that packages ship: one file each, with a digest and a fixed split."""
