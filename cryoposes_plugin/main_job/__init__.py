"""The main job as a Scipion project: `python -m cryoposes_plugin.main_job --map MAP.mrc`."""
