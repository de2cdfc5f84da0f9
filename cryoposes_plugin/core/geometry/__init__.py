"""Rotations: distances and means, distributions and grids of orientations, and point groups."""
