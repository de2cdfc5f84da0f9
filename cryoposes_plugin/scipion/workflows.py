"""Workflow templates for scripts: load a template, fill it in, and run its protocols in order."""

from __future__ import annotations

import json
from typing import Any, Dict

from pyworkflow.exceptions import PyworkflowException

from ..core.errors import ConfigError


class WorkflowFailed(PyworkflowException):
    """A protocol of a workflow did not start or did not finish."""


def templates() -> Dict[str, Any]:
    """Name -> template of this plugin, as listed by Scipion."""
    from pwem import Domain

    plugin = Domain.getPlugins()[__package__.split(".")[0]]._pluginInstance
    return {template.name: template for template in plugin.getTemplates()}


def load_template(project, name: str, **values) -> Dict[str, Any]:
    """Add the protocols of a template to a project without launching them.

    Parameters
    ----------
    project : the Scipion project.
    name : of the template.
    values : of the fields, by their short names (the last part of a field in the template file).

    Returns
    -------
    Label -> protocol, in order.

    Raises
    ------
    ConfigError : for an unknown template or field, or a value that is not valid.
    """
    known = templates()
    if name not in known:
        raise ConfigError(
            f"There is no template {name!r}; choose one of {', '.join(sorted(known))}."
        )

    template = known[name]
    template.replaceEnvVariables()
    template.parseContent()
    fields = template.getParams().values()
    for alias in values:
        if alias not in {field.getAlias() for field in fields}:
            raise ConfigError(
                f"Template {name!r} has no field {alias!r}; its fields are "
                f"{', '.join(sorted(f.getAlias() for f in fields))}."
            )
    for field in fields:
        if field.getAlias() in values:
            field.setValue(str(values[field.getAlias()]))
        problem = field.validate()
        if problem:
            raise ConfigError(
                f"Field '{field.getTitle()}' ({field.getAlias()}) is {field.getValue()!r}: "
                f"{problem}"
            )

    path = template.createTemplateFile()
    with open(path, encoding="utf-8") as handle:
        labels = {step["object.id"]: step["object.label"] for step in json.load(handle)}

    loaded = project.loadProtocols(filename=path)
    for identity, protocol in loaded.items():
        protocol.setObjLabel(labels[identity])  # Scipion labels new protocols by their class
        project.saveProtocol(protocol)

    return {labels[identity]: protocol for identity, protocol in loaded.items()}


def run_in_order(project, protocols: Dict[str, Any]) -> None:
    """Launch each protocol and wait for it; WorkflowFailed if one does not start or finish."""
    for label, protocol in protocols.items():
        problems = protocol.validate()
        if problems:
            raise WorkflowFailed(f"'{label}' cannot start: {' '.join(problems)}")
        project.launchProtocol(protocol, wait=True)
        if not protocol.isFinished():
            raise WorkflowFailed(
                f"'{label}' is {protocol.getStatus()}: {protocol.getErrorMessage()}"
            )
