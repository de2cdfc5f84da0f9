"""From the metadata of a config's fields to Scipion form parameters, and from a filled form back to config values.

`_defineParams` of a protocol only composes these helpers. The field `box_size_px` becomes the parameter `boxSizePx`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Dict, Optional, Tuple, Type

import pyworkflow.protocol.params as params
from pyworkflow.protocol.constants import GPU_LIST, LEVEL_ADVANCED, LEVEL_NORMAL, USE_GPU

from ..commands.config import Config, field_type
from ..core.errors import ConfigError
from ..core.io.names import ACCEPTED_NAME, PARTICLES_NAME, REJECTED_NAME
from ..core.scores import title_of

DEFAULT_THREADS = 2

#: Labels that the field's name does not give by itself.
LABELS = {
    "ctf": "Apply a CTF",
    "snr": "SNR",
    "reference_snr": "SNR of the projections",
    "l2": "Weight decay",
    "bfactor_angstrom2": "B-factor (Å^2)",
    "number": "Number of images",
    "defocus_range_angstrom": "Underfocus (Å)",
    "preferred_directions_deg": "Preferred views (rot tilt ...)",
    "preset": "Network",
    "minutes": "Minutes of training",
    "epochs": "or epochs",
    "steps": "or steps",
    "keep_quantile": "Share to keep",
    "threshold": "or threshold of the score",
    "shift_px": "Size of the shifts (px)",
    "normalise": "Normalise the background",
    "assembly": "Biological assembly",
    "symmetry": "Symmetry group",
    "seed": "Random seed",
    "score": "Score to filter by",
    "batch_size": "Images at once",
    "max_shift_px": "Largest shift (px)",
    "refine": "Refine the poses",
    "hypotheses": "Hypotheses at most",
    "low_pass_angstrom": "Initial low-pass filter (Å)",
    "rounds": "Rounds at most",
    "resolution_angstrom": "Finest detail used (Å)",
    "search_deg": "Search around the poses (°)",
    "starts": "Random starts",
    "search_particles": "Particles to search with",
    "diameter_angstrom": "Particle diameter (Å)",
    "search_starts": "Poses tried in the search",
    "search_shift_px": "Shifts tried in the search (px)",
    "prior_deg": "Prior on the orientations (°)",
    "prior_shift_px": "Prior on the shifts (px)",
    "cgls_iterations": "CGLS iterations",
    "ctf_correction": "CTF correction",
    "heads": "Hypotheses of the network",
    "checkpoint_minutes": "Minutes between checkpoints",
    "validation_number": "Images for validation",
    "preferred_concentration": "Concentration of the views",
}
#: Config fields that a form offers as pointers to Scipion objects, for messages about them.
POINTER_LABELS = {
    "volume": "Volume",
    "particles": "Particles",
    "like": "Particles to resemble",
    "orientations_from": "Particles with known poses",
    "model": "Pose model",
    "reference": "Reference volume",
    "truth": "True poses",
    "estimate": "Estimated poses",
}
#: What a field is called in one form only.
OWN_LABELS = {("train", "particles"): "Particles with known poses"}
#: Protocols that messages name by their command.
PROTOCOL_LABELS = {
    "simulate": "simulate projections",
    "initial-volume": "initial volume",
    "train": "train pose network",
    "infer": "estimate poses",
    "refine": "refine poses",
    "iterate": "refine and reconstruct",
    "recover": "recover poses from distances",
    "filter": "filter by uncertainty",
    "reconstruct": "reconstruct volume",
    "compare": "compare poses",
}
#: Files of a run that are outputs in Scipion.
_OUTPUTS = {
    ACCEPTED_NAME: "the accepted set",
    REJECTED_NAME: "the rejected set",
    PARTICLES_NAME: "the output particles",
}
#: What the form asks for where a CTF is simulated.
CTF_FIELDS = (
    "defocus_range_angstrom",
    "astigmatism_angstrom",
    "phase_shift_deg",
    "voltage_kv",
    "spherical_aberration_mm",
    "amplitude_contrast",
    "bfactor_angstrom2",
    "image_state",
)
_UNIT_SUFFIXES = ("_angstrom2", "_angstrom", "_px", "_deg", "_kv", "_mm")
#: Tuples of two that are shown as a smallest and a largest value.
_RANGES = ("defocus_range_angstrom",)


def param_name(field: str) -> str:
    """`box_size_px` -> `boxSizePx`."""
    head, *tail = field.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


def label_of(config_class: Type[Config], field: str) -> str:
    if (config_class.command, field) in OWN_LABELS:
        return OWN_LABELS[config_class.command, field]
    if field in LABELS:
        return LABELS[field]
    if field in POINTER_LABELS:
        return POINTER_LABELS[field] + ("s" if field_type(config_class, field)[1] else "")
    unit = _field(config_class, field).metadata["unit"]
    words = field
    for suffix in _UNIT_SUFFIXES:
        words = words[: -len(suffix)] if words.endswith(suffix) else words
    text = words.replace("_", " ")
    return text[:1].upper() + text[1:] + (f" ({unit})" if unit else "")


def in_form_words(message: str, config_class: Type[Config]) -> str:
    """A core message in the form's words: labels in the place of options and score columns, protocols in that of
    commands, outputs in that of files."""
    fields = {f.name for f in dataclasses.fields(config_class)}

    def label(match):
        option = match.group(1).replace("-", "_")
        name = next((f for f in fields if f == option or f.startswith(option + "_")), None)
        return f"'{label_of(config_class, name)}'" if name else match.group(0)

    def protocol(match):
        name = PROTOCOL_LABELS.get(match.group(1))
        return f"'{name}'" if name else match.group(0)

    for f in dataclasses.fields(config_class):
        for choice, title in zip(f.metadata["choices"], f.metadata["titles"]):
            message = message.replace(f"'{choice}'", f"'{title}'")
    message = re.sub(
        r" \(_rln\w+(, _rln\w+)*\)", "", message
    )  # columns, which a set of Scipion has not
    message = re.sub(r"`(?:cryoposes )?([a-z-]+)[^`]*`", protocol, message)
    message = re.sub(
        r"(?:column )?\b_?(cryoposes[A-Z]\w*)",
        lambda match: f"'{title_of(match.group(1))}'",
        message,
    )
    message = re.sub(
        r"(?<![\w/])(?:accepted|rejected|particles)\.star",
        lambda match: _OUTPUTS[match.group()],
        message,
    )
    return re.sub(r"--([a-z][a-z0-9-]*[a-z0-9])", label, message)


def _field(config_class: Type[Config], name: str):
    return next(f for f in dataclasses.fields(config_class) if f.name == name)


def add_fields(
    form, config_class: Type[Config], *names: str, condition: Optional[str] = None
) -> None:
    """Add a parameter for each of these fields to the last section of the form."""
    for name in names:
        _add_field(form, config_class, name, condition)


def _add_field(form, config_class: Type[Config], name: str, condition: Optional[str]) -> None:
    field = _field(config_class, name)
    kind, several, optional = field_type(config_class, name)
    metadata = field.metadata
    common = dict(
        label=label_of(config_class, name),
        help=in_form_words(metadata["help"], config_class),
        condition=condition,
        expertLevel=LEVEL_ADVANCED if metadata["expert"] else LEVEL_NORMAL,
    )
    if name in _RANGES:
        line = form.addLine(common.pop("label"), **common)
        for part, label, value in zip(_range_params(name), ("from", "to"), field.default):
            line.addParam(part, params.FloatParam, default=value, label=label, condition=condition)
    elif several:
        form.addParam(
            param_name(name),
            params.StringParam,
            default=" ".join(f"{v:g}" for v in field.default),
            **common,
        )
    elif kind is bool:
        form.addParam(param_name(name), params.BooleanParam, default=field.default, **common)
    elif metadata["choices"]:
        form.addParam(
            param_name(name),
            params.EnumParam,
            choices=list(metadata["titles"]),
            default=metadata["choices"].index(field.default),
            display=params.EnumParam.DISPLAY_COMBO,
            **common,
        )
    elif kind is str:
        form.addParam(param_name(name), params.StringParam, default=field.default or "", **common)
    else:
        number = params.IntParam if kind is int else params.FloatParam
        form.addParam(
            param_name(name), number, default=field.default, allowsNull=optional, **common
        )


def _range_params(name: str) -> Tuple[str, str]:
    return param_name(name) + "Min", param_name(name) + "Max"


def add_pointer(
    form,
    field: str,
    pointer_class: str,
    help: str,
    optional: bool = False,
    condition: Optional[str] = None,
    pointer_condition: Optional[str] = None,
    name: Optional[str] = None,
    label: Optional[str] = None,
) -> None:
    """A pointer to a Scipion object that becomes the file of a config field."""
    form.addParam(
        name or "input" + param_name(field)[0].upper() + param_name(field)[1:],
        params.PointerParam,
        pointerClass=pointer_class,
        pointerCondition=pointer_condition,
        label=label or POINTER_LABELS[field],
        allowsNull=optional,
        important=not optional,
        condition=condition,
        help=help,
    )


def add_volumes(form, help: str, optional: bool = False) -> None:
    """One or several volumes: any number of Volume, SetOfVolumes and AtomStruct."""
    form.addParam(
        "inputVolumes",
        params.MultiPointerParam,
        pointerClass="Volume, SetOfVolumes, AtomStruct",
        minNumObjects=0 if optional else 1,
        label=POINTER_LABELS["volume"] + "s",
        allowsNull=optional,
        important=not optional,
        help=help,
    )


def add_execution(form, config_class: Type[Config], gpu: bool, threads: bool = True) -> None:
    """Seed, and Scipion's own header: GPU and threads."""
    add_fields(form, config_class, "seed")
    if gpu:
        form.addHidden(
            USE_GPU,
            params.BooleanParam,
            default=True,
            label="Use a GPU?",
            help="Compute on a GPU where there is one; without one the CPU is taken.",
        )
        form.addHidden(
            GPU_LIST,
            params.StringParam,
            default="0",
            label="GPU ids",
            help="Ids of the GPUs to use, separated by commas.",
        )
    if threads:
        form.addParallelSection(threads=DEFAULT_THREADS, mpi=0)


def add_streaming(form, smallest_batch: int) -> None:
    """How an input that is still growing is taken."""
    form.addParam(
        "streamingBatchSize",
        params.IntParam,
        default=smallest_batch,
        label="Smallest batch",
        expertLevel=LEVEL_ADVANCED,
        help="Of an input that is still growing (a set that is open), as many new particles at least are taken at a "
        "time; the output grows by them. No batch is smaller, the last one included, so as many particles wait until "
        "others have come or the input is closed. An input that is complete is taken at once.",
    )


def form_values(protocol, config_class: Type[Config]) -> Dict[str, Any]:
    """Values of the config fields that the form has (an empty entry is None), and of Scipion's header: threads and GPU.

    An entry that the form hides, by its condition, has its default, whatever it holds.

    Raises ConfigError for an empty entry that must not be, and for a list that holds something else than numbers.
    """
    names = [f.name for f in dataclasses.fields(config_class)]
    values = {
        name: _value(protocol, config_class, name) for name in names if has_field(protocol, name)
    }
    if protocol.allowThreads:
        values["threads"] = max(0, protocol.numberOfThreads.get() or 0)
    if protocol.allowsGpu():
        values["gpu"] = _gpu_ids(protocol) if protocol.usesGpu() else "none"
    return values


def _gpu_ids(protocol) -> str:
    try:
        ids = protocol.getGpuList()
    except (TypeError, ValueError):
        raise ConfigError(
            "The GPU IDs of the form are no numbers; give them as 0 or 0,1."
        ) from None
    # a queue grants GPUs of its own choice, counted from 0
    return ",".join(map(str, range(len(ids)) if protocol.useQueue() else ids))


def has_field(protocol, name: str) -> bool:
    return protocol.getParam(_first_param(name)) is not None


def _first_param(name: str) -> str:
    return _range_params(name)[0] if name in _RANGES else param_name(name)


def _value(protocol, config_class: Type[Config], name: str) -> Any:
    kind, several, optional = field_type(config_class, name)
    if not protocol.evalParamCondition(_first_param(name)):
        return _field(config_class, name).default
    if name in _RANGES:
        values = tuple(protocol.getAttributeValue(p) for p in _range_params(name))
        if None in values:
            raise ConfigError(
                f"'{label_of(config_class, name)}' is incomplete; give a smallest and a largest value."
            )
        return values
    value = protocol.getAttributeValue(param_name(name), None)
    if several:
        return _numbers(value or "", kind, label_of(config_class, name))
    if _field(config_class, name).metadata["choices"]:
        return _field(config_class, name).metadata["choices"][value]
    if value is None and not optional:
        raise ConfigError(f"'{label_of(config_class, name)}' is empty; give a value.")
    if kind is str:
        return (value or "").strip() or None if optional else value.strip()
    return value


def _numbers(text: str, kind, label: str) -> Tuple[Any, ...]:
    try:
        return tuple(kind(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise ConfigError(f"'{label}' is {text!r}; give numbers separated by spaces.") from None
