"""Particle sets: images, grey values, grids, half sets, and whether all of it belongs together."""
