"""The commands of the program: one folder per command, built on the library in `core`.

A command's folder holds

- `config.py`: its options, a frozen dataclass whose class variables name and describe the command;
- `inputs.py`: what it reads, and the checks of it;
- `run.py`: `check(config)`, which raises everything that can be known before any long work, and
  `run(config, run)`, which writes the results and returns the metrics;
- `report.py`: the page that shows the results;
- `pictures.py`: `pictures(folder, config)`, the figures that can be drawn from the files of a run
  at any time.

To add a command: add such a folder (only `config.py`, `run.py` and `pictures.py` are required), and
a protocol in `protocols/`. `registry` finds the folder; the command line, the form, the report and
the viewer follow from it.
"""
