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
from typing import Any, Dict, List, Optional

from ..commands.report import write_report
from ..core.io.folder import atomic_path
from ..core.io.names import REPORT_NAME
from ..core.values import counted
from .job import Job, Step
from .overview import overview

RESULTS_NAME = "results.json"
#: Resolutions that differ by less are called the same.
_SAME = 0.03
_JUNK_IN_SET, _JUNK_KEPT = "junk in the set", "junk among the kept"
_OFF_CENTRE = "far off centre among the kept, pose and place right"
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
    print(results["conclusion"])
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


def collect(job: Job) -> Dict[str, Any]:
    """The numbers of the job: {"results": name -> value, "seconds": step -> wall time,
    "conclusion": what the filter did, in words}.
    """
    metrics = {title: step.metrics for title, step in job.steps.items()}
    every, accepted = metrics["compare all"], metrics["compare accepted"]
    resolution = {
        name: metrics[f"reconstruct from {name}"]["resolution_reference_05_angstrom"]
        for name in ("all", "accepted", "true poses")
    }
    results = {
        "images": metrics["simulate particles"]["particles"],
        **_junk(every.get("known_junk"), accepted.get("known_junk"), metrics["filter"]),
        "particles kept": accepted["particles"] / every["particles"],
        "median angular error of the particles, all (°)": every["median_angular_error_deg"],
        "median angular error of the particles, kept (°)": accepted["median_angular_error_deg"],
        "90th percentile, all (°)": every["p90_angular_error_deg"],
        "90th percentile, kept (°)": accepted["p90_angular_error_deg"],
        "median shift error of the particles, all (Å)": every["median_shift_error_angstrom"],
        "FSC 0.5 with the map, all images (Å)": resolution["all"],
        "FSC 0.5 with the map, kept images (Å)": resolution["accepted"],
        "FSC 0.5 with the map, particles at their true poses (Å)": resolution["true poses"],
    }

    return {
        "results": results,
        "seconds": {title: round(step.seconds, 1) for title, step in job.steps.items()},
        "conclusion": conclusion(results, resolution["all"], resolution["accepted"]),
    }


def _junk(
    every: Optional[Dict[str, Any]], kept: Optional[Dict[str, Any]], split: Dict[str, Any]
) -> Dict[str, Any]:
    """What is known of the junk among all images and among the kept ones, beside what was told."""
    if every is None or kept is None:
        return {}
    return {
        _JUNK_IN_SET: every["junk_share"],
        "junk in the set, told": every["junk_share_told"],
        _JUNK_KEPT: kept["junk_share"],
        "junk among the kept, told": split.get("false_discovery_rate", kept["junk_share_told"]),
        _OFF_CENTRE: kept["found_off_centre"],
    }


def conclusion(
    results: Dict[str, Any], all_angstrom: Optional[float], kept_angstrom: Optional[float]
) -> str:
    """What the filter did to the set and to the map, in words.

    Parameters
    ----------
    results : see `collect`.
    all_angstrom, kept_angstrom : where the FSC with the map falls to 0.5, from all images and from
        the kept ones; None if it does not.
    """
    sentences = []
    if _JUNK_IN_SET in results:
        sentences.append(
            f"The filter kept {100 * results['particles kept']:.1f} % of the particles and reduced "
            f"the junk from {100 * results[_JUNK_IN_SET]:.2g} % of the images to "
            f"{100 * results[_JUNK_KEPT]:.2g} %."
        )
        if results[_OFF_CENTRE]:
            sentences.append(
                f"Among the kept are {counted(results[_OFF_CENTRE], 'particle')} far off centre at "
                "the right pose and place: good particles, which do not count as junk."
            )
    if all_angstrom is not None and kept_angstrom is not None:
        ratio = all_angstrom / kept_angstrom
        if abs(ratio - 1) < _SAME:
            effect = "hardly differ: the junk that was left out hardly harmed this map"
        elif ratio > 1:
            effect = "differ: the map is better without what was left out"
        else:
            effect = "differ: the map is worse without what was left out"
        sentences.append(
            f"The FSC with the map from all images ({all_angstrom:.2f} Å) and from the kept ones "
            f"({kept_angstrom:.2f} Å) {effect}."
        )
    return " ".join(sentences)


def table(results: Dict[str, Any]) -> List[str]:
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


def write_page(job: Job, results: Dict[str, Any], settings: argparse.Namespace) -> None:
    """Write the report: the table, and notes and figures of each step with a link to its report."""
    lead = (
        f"{settings.number} simulated images of {settings.map.name} with CTF and shifts, at "
        f"SNR {settings.snr:g}, {100 * settings.junk_fraction:g} % of them junk; "
        f"{settings.minutes:g} minutes of training on other simulated images of the same map. "
        f"{results['conclusion']}"
    )

    numbers = {**results["results"], "seconds per step": results["seconds"]}
    figure = overview(
        settings.map,
        _folders(job, "reconstruct from ", "all", "accepted", "true poses"),
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
