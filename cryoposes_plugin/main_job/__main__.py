"""The command line of the main job.

python -m cryoposes_plugin.main_job --map MAP.mrc --number 5000 --snr 0.4 --minutes 10 --project
NAME

Runs the whole workflow on simulated data: imports the map, simulates particles with known poses and
junk among them, trains a network on other simulated images, estimates the poses, leaves out junk
and wrong poses, reconstructs from all images, from the rest and from the particles' true poses, and
compares the results.
It prints a table, and writes an HTML report with the figures of all steps. The project can be
opened in Scipion.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import List, Optional

from ..core.errors import ConfigError, CryoposesError, ResourceError
from ..scipion.environment import set_scipion_environment

PHANTOM = "phantom"


def main(argv: Optional[List[str]] = None) -> int:
    settings = make_parser().parse_args(argv)
    try:
        prepare(settings)
        # pyworkflow reads the environment when it is imported, so only now
        from .job import run_job
        from .results import print_results

        print_results(run_job(settings), settings)
    except CryoposesError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cryoposes_plugin.main_job",
        description=(__doc__ or "").split("\n\n", 2)[-1],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--map",
        required=True,
        help=f"the map (MRC, cubic), or the word {PHANTOM} for an artificial molecule",
    )
    parser.add_argument("--number", type=int, default=5000, help="number of images to simulate")
    parser.add_argument(
        "--junk-fraction", type=float, default=0.2, help="fraction of the images that is junk"
    )
    parser.add_argument(
        "--snr", type=float, default=0.4, help="signal-to-noise ratio of the particles"
    )
    parser.add_argument(
        "--shift-px", type=float, default=1.5, help="standard deviation of their shifts (px)"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="training time (min)")
    parser.add_argument(
        "--keep",
        type=float,
        default=None,
        help="fraction of the particles to keep; by default the probability of junk decides",
    )
    parser.add_argument("--symmetry", default="C1", help="point group of the map")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers")
    parser.add_argument("--project", default="cryoposes", help="name of the Scipion project")
    folder = os.environ.get("SCIPION_USER_DATA", "demo-output")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(folder),
        help="Scipion's user data folder for the project",
    )

    parser.add_argument(
        "--replace", action="store_true", help="first delete an existing project of this name"
    )
    return parser


def prepare(settings: argparse.Namespace) -> None:
    """Check the settings, set Scipion's environment variables, and make the map if necessary."""
    _require_installed_plugin()
    settings.folder = settings.folder.resolve()
    project = settings.folder / "projects" / settings.project
    if project.exists() and not settings.replace:
        raise ConfigError(
            f"The project {project} already exists; choose another --project, or add --replace to "
            "delete it."
        )
    if settings.map != PHANTOM:
        settings.map = Path(settings.map).resolve()
        if not settings.map.is_file():
            raise ConfigError(f"The map {settings.map} does not exist; check --map.")
    if project.exists():
        shutil.rmtree(project)

    set_scipion_environment(settings.folder)
    if settings.map == PHANTOM:
        settings.map = _write_phantom(settings.folder)


def _require_installed_plugin() -> None:
    """Scipion runs protocols in separate processes, which find plugins only by entry points."""
    name = __package__.split(".")[0]
    if not any(
        f"{name} = {name}" in (d.read_text("entry_points.txt") or "")
        for d in metadata.distributions()
    ):
        raise ResourceError(
            f"{name} is not installed in {sys.executable}, so Scipion cannot find it; run pip "
            "install -e . first."
        )


def _write_phantom(folder: Path) -> Path:
    from ..core.io.mrc import write_volume
    from ..core.maps.phantom import make_phantom

    volume = make_phantom()
    path = folder / "phantom.mrc"
    write_volume(path, volume.data, volume.pixel_size_angstrom)
    return path


if __name__ == "__main__":
    sys.exit(main())
