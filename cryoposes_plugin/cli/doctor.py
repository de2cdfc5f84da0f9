"""`cryoposes doctor`: what is installed, what runs, and what to do."""

from __future__ import annotations

import argparse
import sys

from ..core import doctor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="Say it as JSON.")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 if the main job can run, else 2."""
    elsewhere = doctor.compute_command()
    findings = doctor.examine() if elsewhere is None else doctor.examine_other(elsewhere)
    text = doctor.as_json(findings) if arguments.json else doctor.as_text(findings)
    sys.stdout.write(text + "\n")
    return 0 if doctor.main_job_runs(findings) else 2
