"""From the options of a config to the parameters of a Scipion form, and from the form to the
config.

`_defineParams` of a protocol only composes these helpers. The option `box_size_px` becomes the
parameter `boxSizePx`; labels, help, groups and choices are those of the option.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Dict, List, Optional, Tuple, Type

import pyworkflow.protocol.params as params
from pyworkflow.protocol.constants import GPU_LIST, LEVEL_ADVANCED, LEVEL_NORMAL, USE_GPU

from ..commands.config import (
    COMPUTATION,
    CTF,
    Config,
    field_type,
    is_expert,
    option_named,
    options_by_group,
)
from ..commands.registry import CONFIGS, has_needs
from ..core.errors import ConfigError
from ..core.io.names import ACCEPTED_NAME, PARTICLES_NAME, REJECTED_NAME
from ..core.scores import title_of

DEFAULT_THREADS = 2
#: The label beside which a wizard says what the run will need.
NEEDS_PARAM = "needsOfRun"

#: Result files that are outputs in Scipion.
_OUTPUTS = {
    ACCEPTED_NAME: "the accepted set",
    REJECTED_NAME: "the rejected set",
    PARTICLES_NAME: "the output particles",
}
#: Options that no form shows: Scipion has its own (threads, GPU), or does without them.
_NOT_IN_FORMS = ("threads", "gpu", "dask", "images_from", "digest_images", "join_by", "allow_none")
_COLUMNS = re.compile(r" \(_rln\w+(, _rln\w+)*\)")
_COMMAND = re.compile(r"`(?:cryoposes )?([a-z-]+)[^`]*`")
_SCORE = re.compile(r"(?:column )?\b_?(cryoposes[A-Z]\w*)")
_RESULT_FILE = re.compile(r"(?<![\w/])(?:accepted|rejected|particles)\.star")
#: An option, and a word that follows it: `--loss bingham`, `--loss is 'bingham'`.
_OPTION = re.compile(
    r"--([a-z][a-z0-9-]*[a-z0-9])"
    r"(?:(?P<verb> is | )(?P<quote>'?)(?P<value>[\w+-]+)(?P=quote)(?![\w+-]|\.\d))?"
)


def param_name(field: str) -> str:
    """`box_size_px` -> `boxSizePx`."""
    head, *tail = field.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


def label_of(config_class: Type[Config], field: str) -> str:
    """The label of an option with its unit: "Box size (px)"."""
    metadata = option_named(config_class, field).metadata
    return metadata["label"] + (f" ({metadata['unit']})" if metadata["unit"] else "")


def in_form_words(message: str, config_class: Type[Config]) -> str:
    """A message of the program in the words of the form.

    Labels replace options and score columns, titles replace choices, protocols replace commands,
    and outputs replace result files. Columns of STAR files, which a Scipion set does not have, are
    left out.
    """
    message = _COLUMNS.sub("", message)
    message = _COMMAND.sub(_protocol, message)
    message = _SCORE.sub(lambda match: f"'{title_of(match.group(1))}'", message)
    message = _RESULT_FILE.sub(lambda match: _OUTPUTS[match.group()], message)
    message = _OPTION.sub(lambda match: _labelled(match, config_class), message)
    for choice, title in _unambiguous_titles(config_class).items():
        message = message.replace(f"'{choice}'", f"'{title}'")
    return message


def _protocol(match) -> str:
    config_class = CONFIGS.get(match.group(1))
    return f"'{config_class.title}'" if config_class and config_class.title else match.group()


def _labelled(match, config_class: Type[Config]) -> str:
    """'Label' for `--option`, and also the title for a choice that follows the option."""
    option = match.group(1).replace("-", "_")
    names = [f.name for f in dataclasses.fields(config_class)]
    name = next((n for n in names if n == option or n.startswith(option + "_")), None)
    if name is None:
        return match.group()

    label = f"'{label_of(config_class, name)}'"
    if match["value"] is None:
        return label
    metadata = option_named(config_class, name).metadata
    titles = dict(zip(metadata["choices"], metadata["titles"]))
    if match["value"] in titles:
        return f"{label}{match['verb']}'{titles[match['value']]}'"
    return f"{label}{match['verb']}{match['quote']}{match['value']}{match['quote']}"


def _unambiguous_titles(config_class: Type[Config]) -> Dict[str, str]:
    """Choice -> title, for choices that all options of a command call the same."""
    titles: Dict[str, set] = {}
    for f in dataclasses.fields(config_class):
        for choice, title in zip(f.metadata["choices"], f.metadata["titles"]):
            titles.setdefault(choice, set()).add(title)
    return {choice: found.pop() for choice, found in titles.items() if len(found) == 1}


def add_group(
    form, config_class: Type[Config], group: str, condition: Optional[str] = None
) -> None:
    """Add a frame with all parameters of a group to the last section of the form.

    Parameters
    ----------
    form : the protocol's form.
    config_class : config whose options become parameters; those with files or folders are left out,
        because they are pointers in a form.
    group : a group of `commands.config`.
    condition : when the frame is shown, as Scipion writes conditions; default: always.
    """
    frame = add_frame(form, config_class, group, condition)
    add_fields(frame, config_class, *_shown_names(config_class, group), condition=condition)


def add_frame(form, config_class: Type[Config], group: str, condition: Optional[str] = None):
    """Add an empty frame for the parameters of a group, and return it.

    It is shown with the advanced parameters only if all of its parameters are advanced.

    Parameters
    ----------
    form, config_class, group, condition : as in `add_group`.
    """
    expert = all(is_expert(config_class, name) for name in _shown_names(config_class, group))
    level = LEVEL_ADVANCED if expert else LEVEL_NORMAL
    return form.addGroup(group, condition=condition, expertLevel=level)


def _shown_names(config_class: Type[Config], group: str) -> List[str]:
    """Options of a group that a form shows as parameters: files and folders are pointers there."""
    return [
        name
        for name in options_by_group(config_class)[group]
        if not option_named(config_class, name).metadata["path"] and name not in _NOT_IN_FORMS
    ]


def add_ctf_group(form, config_class: Type[Config]) -> None:
    """Add the frame of the CTF, whose parameters are shown if a CTF is applied."""
    frame = add_frame(form, config_class, CTF)
    names = [name for name in _shown_names(config_class, CTF) if name != "ctf"]
    add_fields(frame, config_class, "ctf")
    add_fields(frame, config_class, *names, condition="ctf")


def add_fields(
    form, config_class: Type[Config], *names: str, condition: Optional[str] = None
) -> None:
    """Add a parameter for each of these options to a form or to a frame in it."""
    for name in names:
        _add_field(form, config_class, name, condition)


def _add_field(form, config_class: Type[Config], name: str, condition: Optional[str]) -> None:
    field = option_named(config_class, name)
    kind, several, optional = field_type(config_class, name)
    metadata = field.metadata
    common = dict(
        label=label_of(config_class, name),
        help=in_form_words(metadata["help"], config_class),
        condition=condition,
        expertLevel=LEVEL_ADVANCED if is_expert(config_class, name) else LEVEL_NORMAL,
    )

    if metadata["length"] == 2:
        line = form.addLine(common.pop("label"), **common)
        for part, label, value in zip(_range_params(name), ("from", "to"), field.default):
            line.addParam(
                part,
                params.FloatParam,
                default=value,
                label=label,
                condition=condition,
                expertLevel=common["expertLevel"],
            )
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
    """The two parameters of an option with a smallest and a largest value."""
    return param_name(name) + "Min", param_name(name) + "Max"


def add_pointer(
    form,
    config_class: Type[Config],
    field: str,
    pointer_class: str,
    *,
    optional: bool = False,
    condition: Optional[str] = None,
    pointer_condition: Optional[str] = None,
    name: Optional[str] = None,
) -> None:
    """Add a pointer to a Scipion object that becomes the file of an option.

    Parameters
    ----------
    form : the protocol's form.
    config_class : config with the option.
    field : the option, which gives label and help.
    pointer_class : class of the object, such as "SetOfParticles".
    optional : whether the pointer may stay empty.
    condition : when the parameter is shown.
    pointer_condition : what the object must fulfil, such as "hasAlignmentProj".
    name : of the parameter; default: "input" and the name of the option.
    """
    help_text = in_form_words(option_named(config_class, field).metadata["help"], config_class)
    form.addParam(
        name or "input" + param_name(field)[0].upper() + param_name(field)[1:],
        params.PointerParam,
        pointerClass=pointer_class,
        pointerCondition=pointer_condition,
        label=label_of(config_class, field),
        allowsNull=optional,
        important=not optional,
        condition=condition,
        help=f"Optional. {help_text}" if optional else help_text,
    )


def add_volumes(form, config_class: Type[Config], optional: bool = False) -> None:
    """Add a pointer to one or several volumes: any number of Volume, SetOfVolumes, AtomStruct."""
    help_text = in_form_words(option_named(config_class, "volume").metadata["help"], config_class)
    form.addParam(
        "inputVolumes",
        params.MultiPointerParam,
        pointerClass="Volume, SetOfVolumes, AtomStruct",
        minNumObjects=0 if optional else 1,
        label=label_of(config_class, "volume"),
        allowsNull=optional,
        important=not optional,
        help=f"Optional. {help_text}" if optional else help_text,
    )


def add_computation(form, config_class: Type[Config], threads: bool = True) -> None:
    """Add the frame of the computation, what the run will need, and the GPU and the threads to
    Scipion's own header.
    """
    add_group(form, config_class, COMPUTATION)
    if has_needs(config_class.command):
        form.addParam(
            NEEDS_PARAM,
            params.LabelParam,
            label="Memory, disk and time",
            help="The wand measures this machine for some seconds and says what memory, disk space "
            "and time the run will need, before it is started.",
        )
    form.addHidden(
        USE_GPU,
        params.BooleanParam,
        default=True,
        label="Use a GPU?",
        help="Compute on a GPU if there is one, otherwise on the CPU.",
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
    """Add the frame that says how particles of a growing input are processed."""
    form.addGroup("Streaming", expertLevel=LEVEL_ADVANCED).addParam(
        "streamingBatchSize",
        params.IntParam,
        default=smallest_batch,
        label="Smallest batch",
        expertLevel=LEVEL_ADVANCED,
        help="If the input is still growing (an open set), particles are processed in batches of "
        "at least this size, and the output grows batch by batch. Since the last batch must not "
        "be smaller either, up to this many particles wait until more have come or the input is "
        "closed. A complete input is processed at once.",
    )


def form_values(protocol, config_class: Type[Config]) -> Dict[str, Any]:
    """Values of all options that the form has, and of Scipion's header (threads and GPU).

    An empty entry is None. An entry that the form hides by its condition has its default value,
    whatever it holds. Raises ConfigError for an empty entry that needs a value, and for a list with
    anything but numbers.
    """
    names = [f.name for f in dataclasses.fields(config_class)]
    values = {
        name: _value(protocol, config_class, name)
        for name in names
        if protocol.getParam(_first_param(config_class, name)) is not None
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
            "The GPU ids of the form are not numbers; give them as 0 or as 0,1."
        ) from None
    # A queue chooses the GPUs itself, and the job counts them from 0.
    return ",".join(map(str, range(len(ids)) if protocol.useQueue() else ids))


def _first_param(config_class: Type[Config], name: str) -> str:
    """The parameter of an option, or the first of two."""
    is_range = option_named(config_class, name).metadata["length"] == 2
    return _range_params(name)[0] if is_range else param_name(name)


def _value(protocol, config_class: Type[Config], name: str) -> Any:
    field, label = option_named(config_class, name), label_of(config_class, name)
    kind, several, optional = field_type(config_class, name)
    first = _first_param(config_class, name)
    if not protocol.evalParamCondition(first):
        return field.default

    if first != param_name(name):
        values = tuple(protocol.getAttributeValue(p) for p in _range_params(name))
        if None in values:
            raise ConfigError(f"'{label}' is incomplete; give a smallest and a largest value.")
        return values

    value = protocol.getAttributeValue(first, None)
    if several:
        return _numbers(value or "", kind, label)
    if field.metadata["choices"]:
        return field.metadata["choices"][value]
    if value is None and not optional:
        raise ConfigError(f"'{label}' is empty; give a value.")
    if kind is str:
        return (value or "").strip() or None if optional else value.strip()
    return value


def _numbers(text: str, kind, label: str) -> Tuple[Any, ...]:
    try:
        return tuple(kind(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise ConfigError(f"'{label}' is {text!r}; give numbers separated by spaces.") from None
