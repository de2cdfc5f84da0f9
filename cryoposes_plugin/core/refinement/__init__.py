"""Poses refined against a map, to the limit that the noise sets."""
