"""The main job, from a map to a map, as a real Scipion project: `python -m cryoposes_plugin.main_job --map MAP.mrc`."""
