"""What the forms say of a protocol and of its run: help, citations, warnings."""

import json
import os
import re

import pytest

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from cryoposes_plugin import protocols
from cryoposes_plugin.protocols import ProtCryoposesFilter

PROTOCOLS = [
    getattr(protocols, name) for name in protocols.__all__ if name not in ("ProtCryoposesBase",)
]
PROTOCOLS = [protocol for protocol in PROTOCOLS if protocol._label]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_help_is_running_text_and_leads_to_the_guide(scipion_environment, protocol):
    text = protocol.getHelpText()
    assert text.strip()
    assert not re.search(r"\n +|[^\n]\n[^\n]", text.strip())
    assert protocol.getUrl() == "" or os.path.exists(protocol.getUrl()[len("file://") :])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_reference_is_named_once_with_its_journal(scipion_environment, protocol):
    said = [line for line in protocol().citations() if not line.startswith("*")]
    assert len(said) == len(set(said)) >= 3
    for line in said:
        assert re.search(r" et al\., \S.*, \d{4}", line)
        assert "not found" not in line


def test_what_a_run_warned_of_marks_it(session_project, project):
    protocol = project.newProtocol(ProtCryoposesFilter)
    project.saveProtocol(protocol)
    os.makedirs(protocol._getExtraPath("run"))
    metrics = {"accepted": 1, "rejected": 0, "score": "cryoposesExpectedErrorDeg", "threshold": 2.5}
    metrics["warnings"] = ["--threshold is large."]
    with open(protocol._getExtraPath("run", "metrics.json"), "w", encoding="utf-8") as handle:
        json.dump(metrics, handle)
    sentence = "'Threshold' is large."
    assert protocol.summary()[-1] == sentence  # a script's view
    protocol.checkSummaryWarnings()
    assert protocol.summaryWarnings == [sentence]
    assert protocol.summary().count(sentence) == 1
    report = os.path.abspath(protocol._getExtraPath("run", "report.html"))
    open(report, "w").close()
    protocol.checkSummaryWarnings()  # a link, which Scipion shows in red
    assert protocol.summaryWarnings[1:] == [f"[[file://{report}][{sentence}]]"]
    assert "1 particle accepted, 0 rejected, by expected error (°) <= 2.5." in protocol.summary()
