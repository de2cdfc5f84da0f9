"""The results of the main job: a printed table, results.json, and an HTML report."""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any, Dict, List

from ..commands.report import write_report
from ..core.io.folder import atomic_path
from ..core.io.names import REPORT_NAME
from .job import Job, Step
from .overview import overview

RESULTS_NAME = "results.json"
_NOTES_AND_FIGURES = re.compile(r"<ul class='notes'>.*?</ul>|<figure>.*?</figure>", re.S)


def print_results(job: Job, settings: argparse.Namespace) -> None:
    """Write results.json and the report, and print the table and where everything is."""
    results = collect(job)
    with atomic_path(job.folder / RESULTS_NAME) as part:
        part.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    write_page(job, results, settings)
    print()
    for line in table(results):
        print(line)
    print()
    print(f"Project  {job.folder}")
    print(f"Report   {job.folder / REPORT_NAME}")
    print(f"Plots    {job.folder}/Runs/*/extra/run/*.png")
    print("To open the project in Scipion, run:")
    print(f"         {opening_command(settings.folder, settings.project)}")


def opening_command(folder: Path, project: str) -> str:
    """The shell command that opens the project, from any folder and with any variables."""
    words = [
        sys.executable,
        "-m",
        "cryoposes_plugin.scipion",
        "--folder",
        str(folder),
        "project",
        project,
    ]
    home = os.environ["SCIPION_HOME"]
    own_home = [] if home == str(folder / "scipion") else ["env", f"SCIPION_HOME={home}"]
    return " ".join(shlex.quote(word) for word in own_home + words)


def collect(job: Job) -> Dict[str, Dict[str, Any]]:
    """The numbers of the job: {"results": name -> value, "seconds": step -> wall time}."""
    metrics = {title: step.metrics for title, step in job.steps.items()}
    every, accepted, split = metrics["compare all"], metrics["compare accepted"], metrics["filter"]
    estimated, true = metrics["reconstruct from accepted"], metrics["reconstruct from true poses"]
    results = {
        "particles": every["particles"],
        "kept share": split["kept_share"],
        "median angular error, all (°)": every["median_angular_error_deg"],
        "median angular error, accepted (°)": accepted["median_angular_error_deg"],
        "90th percentile, all (°)": every["p90_angular_error_deg"],
        "90th percentile, accepted (°)": accepted["p90_angular_error_deg"],
        "median shift error, all (Å)": every["median_shift_error_angstrom"],
        "resolution against the map, FSC 0.5: accepted, estimated poses (Å)": estimated[
            "resolution_reference_05_angstrom"
        ],
        "resolution against the map, FSC 0.5: all, true poses (Å)": true[
            "resolution_reference_05_angstrom"
        ],
        "resolution of the half maps, FSC 0.143: all, true poses (Å)": true[
            "resolution_corrected_0143_angstrom"
        ],
    }

    return {
        "results": results,
        "seconds": {title: round(step.seconds, 1) for title, step in job.steps.items()},
    }


def table(results: Dict[str, Dict[str, Any]]) -> List[str]:
    rows = [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in results["results"].items()
    ]
    rows += [("", "")] + [
        (f"{name} (s)", f"{value:.1f}") for name, value in results["seconds"].items()
    ]
    rows += [("all steps (s)", f"{sum(results['seconds'].values()):.1f}")]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value:>8}".rstrip() for name, value in rows]


def write_page(job: Job, results: Dict[str, Dict[str, Any]], settings: argparse.Namespace) -> None:
    """Write the report: the table, and notes and figures of each step with a link to its report."""
    lead = (
        f"{settings.number} simulated particles of {settings.map.name} with CTF and shifts, at "
        f"SNR {settings.snr:g}; {settings.minutes:g} minutes of training on other simulated "
        "images of the same map."
    )

    numbers = {**results["results"], "seconds per step": results["seconds"]}
    figure = overview(
        settings.map,
        _folders(job, "reconstruct from ", "accepted", "true poses"),
        _folders(job, "compare ", "all", "accepted"),
    )
    figures = {"overview": ("The results at a glance.", figure)}
    write_report(
        job.folder, f"Main job: {settings.project}", lead=lead, numbers=numbers, figures=figures
    )
    sections = "\n".join(_section(step, job.folder) for step in job.steps.values())
    path = job.folder / REPORT_NAME
    page = path.read_text(encoding="utf-8")
    with atomic_path(path) as part:
        part.write_text(page.replace("</body>", sections + "\n</body>"), encoding="utf-8")


def _folders(job: Job, prefix: str, *names: str) -> Dict[str, Path]:
    return {name: job.steps[prefix + name].folder for name in names}


def _section(step: Step, folder: Path) -> str:
    report = step.folder / REPORT_NAME
    if not report.exists():
        return ""
    parts = "\n".join(_NOTES_AND_FIGURES.findall(report.read_text(encoding="utf-8")))
    link = html.escape(os.path.relpath(report, folder))
    return f"<h2><a href='{link}'>{html.escape(step.title)}</a></h2>\n{parts}"
