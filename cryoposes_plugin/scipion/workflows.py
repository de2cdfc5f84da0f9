"""Workflow templates and whole workflows for scripts: load, fill in, run in order."""

from __future__ import annotations

import json
from typing import Any, Dict

from pyworkflow.exceptions import PyworkflowException

from ..core.errors import ConfigError


class WorkflowFailed(PyworkflowException):
    """A protocol of a workflow could not start or did not finish."""


def templates() -> Dict[str, Any]:
    """Name -> template of this plugin, as Scipion lists them."""
    from pwem import Domain

    plugin = Domain.getPlugins()[__package__.split(".")[0]]._pluginInstance
    return {template.name: template for template in plugin.getTemplates()}


def load_template(project, name: str, **values) -> Dict[str, Any]:
    """Add the protocols of a template to the project, filled in, not launched; label -> protocol, in order.

    `values` are the template's fields by their short names (the last part of a field in the file). Raises ConfigError
    for a template or a field that is not there, and for a value that its field does not take.
    """
    known = templates()
    if name not in known:
        raise ConfigError(f"There is no template {name!r}; there are {', '.join(sorted(known))}.")
    template = known[name]
    template.replaceEnvVariables()
    template.parseContent()
    fields = template.getParams().values()
    for alias in values:
        if alias not in {field.getAlias() for field in fields}:
            raise ConfigError(
                f"Template {name!r} has no field {alias!r}; it has {sorted(f.getAlias() for f in fields)}."
            )
    for field in fields:
        if field.getAlias() in values:
            field.setValue(str(values[field.getAlias()]))
        problem = field.validate()
        if problem:
            raise ConfigError(
                f"Field '{field.getTitle()}' ({field.getAlias()}) is {field.getValue()!r}: {problem}"
            )
    path = template.createTemplateFile()
    with open(path, encoding="utf-8") as handle:
        labels = {step["object.id"]: step["object.label"] for step in json.load(handle)}
    loaded = project.loadProtocols(filename=path)
    for identity, protocol in loaded.items():
        protocol.setObjLabel(
            labels[identity]
        )  # Scipion gives new protocols the label of their class
        project.saveProtocol(protocol)
    return {labels[identity]: protocol for identity, protocol in loaded.items()}


def run_in_order(project, protocols: Dict[str, Any]) -> None:
    """Launch each protocol and wait for it; WorkflowFailed at the first that cannot start or does not finish."""
    for label, protocol in protocols.items():
        problems = protocol.validate()
        if problems:
            raise WorkflowFailed(f"'{label}' cannot start: {' '.join(problems)}")
        project.launchProtocol(protocol, wait=True)
        if not protocol.isFinished():
            raise WorkflowFailed(
                f"'{label}' is {protocol.getStatus()}: {protocol.getErrorMessage()}"
            )
