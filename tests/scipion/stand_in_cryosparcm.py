#!/usr/bin/env python3
"""Stands in for the proprietary cryosparcm: answers what scipion-em-cryosparc2 asks, and writes
down what it asked.

Imports complete at once; every other job fails, so that a protocol ends where the program itself
would start.
"""

import os
import re
import sys
from pathlib import Path

HOME = Path(os.environ["CRYOSPARC_HOME"])
ANSWERS = {
    "test_connection": "True",
    "UserExists": "True",
    "get_id_by_email": "user",
    "list_projects": "[]",
    "create_empty_project": "P1",
    "get_project": str({"project_dir": str(HOME), "uid": "P1"}),
    "create_empty_workspace": "W1",
    "get_system_info": str({"master_hostname": "here", "version": "v4.5.3"}),
    "get_job_streamlog": "[]",
    "get_scheduler_lanes": "[{'name': 'default'}]",
}


def main() -> str:
    call = sys.argv[-1].strip()
    name = call.split("(")[0]
    with open(HOME / "calls.log", "a") as log:
        log.write(call + "\n")
    if name == "check_or_create_project_container_dir":
        return call.split('"')[1]
    if name == "make_job":
        jobs = HOME / "jobs.log"
        number = len(jobs.read_text().splitlines()) + 1 if jobs.exists() else 1
        with open(jobs, "a") as log:
            log.write(call.split('"')[1] + "\n")
        return f"J{number}"
    if name == "get_job_status":
        number = int(re.search(r'"J(\d+)"', call).group(1))
        kind = (HOME / "jobs.log").read_text().splitlines()[number - 1]
        return "completed" if kind.startswith("import_") else "failed"
    return ANSWERS.get(name, "OK")


if __name__ == "__main__":
    sys.stdout.write(main() + "\n")
