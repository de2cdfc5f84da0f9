"""Forms say what the configs say, and plugin, protocols and viewers are found by Scipion."""

import dataclasses
import os

import pytest

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from pwem.protocols import EMProtocol
from pyworkflow.protocol.params import Group

from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.commands.registry import CONFIGS
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.protocols import (
    ProtCryoposesCalibrate,
    ProtCryoposesCompare,
    ProtCryoposesConsensus,
    ProtCryoposesExpandSymmetry,
    ProtCryoposesFilter,
    ProtCryoposesForecast,
    ProtCryoposesInfer,
    ProtCryoposesInitialVolume,
    ProtCryoposesIterate,
    ProtCryoposesMergeSets,
    ProtCryoposesMirror,
    ProtCryoposesReconstruct,
    ProtCryoposesRecover,
    ProtCryoposesRefine,
    ProtCryoposesRelaxSymmetry,
    ProtCryoposesSimulate,
    ProtCryoposesTrain,
)
from cryoposes_plugin.scipion import forms

PROTOCOLS = (
    ProtCryoposesSimulate,
    ProtCryoposesInitialVolume,
    ProtCryoposesForecast,
    ProtCryoposesTrain,
    ProtCryoposesInfer,
    ProtCryoposesRefine,
    ProtCryoposesRelaxSymmetry,
    ProtCryoposesFilter,
    ProtCryoposesReconstruct,
    ProtCryoposesIterate,
    ProtCryoposesCalibrate,
    ProtCryoposesCompare,
    ProtCryoposesRecover,
    ProtCryoposesMirror,
    ProtCryoposesConsensus,
    ProtCryoposesExpandSymmetry,
    ProtCryoposesMergeSets,
)
LABELS = (
    "simulate projections",
    "initial volume",
    "forecast what can be reached",
    "train pose network",
    "estimate poses",
    "refine poses",
    "resolve pseudo-symmetry",
    "filter by uncertainty",
    "reconstruct volume",
    "refine and reconstruct",
    "check calibration",
    "compare poses",
    "recover poses from distances",
    "mirror volume and poses",
    "consensus of poses",
    "expand symmetry",
    "merge particle sets",
)
#: Parameters of the header of every form.
OF_SCIPION = (
    "runName",
    "runMode",
    "hostName",
    "numberOfThreads",
    "numberOfMpi",
    "useGpu",
    "gpuList",
)
#: Fields that come from Scipion's header, or that are of no use to a protocol.
NOT_IN_FORMS = {"dask", "threads", "gpu", "digest_images", "allow_none", "images_from", "join_by"}


def test_scipion_finds_the_plugin_and_its_protocols_viewers_and_objects(scipion_environment):
    from pwem import Domain

    module = Domain.getPlugins()["cryoposes_plugin"]
    assert module._pluginInstance.getName() == "cryoposes_plugin"
    assert module._pluginInstance.getPath() == module.__path__[0]
    assert {p.__name__ for p in PROTOCOLS} <= set(Domain.getProtocols())
    assert "PoseModel" in Domain.getObjects()
    assert set(module._bibtex) == {"Banjac2021", "Lian2022", "Chung2023", "Punjani2017"}
    for protocol in PROTOCOLS:
        assert "CryoposesRunViewer" in {
            v.__name__ for v in Domain.findViewers(protocol(), "tkinter")
        }


def test_the_protocols_are_in_a_section_of_their_own(scipion_environment):
    import json
    from configparser import ConfigParser
    from pathlib import Path

    import cryoposes_plugin

    parser = ConfigParser()
    parser.optionxform = str
    parser.read(Path(cryoposes_plugin.__file__).parent / "protocols.conf")
    (section,) = json.loads(parser.get("PROTOCOLS", "Protocols SPA"))
    assert section["tag"] == "section"
    assert {c["value"] for c in section["children"]} == {p.__name__ for p in PROTOCOLS}


@pytest.mark.parametrize("protocol, label", zip(PROTOCOLS, LABELS))
def test_an_untouched_form_gives_the_default_config(scipion_environment, protocol, label):
    instance = protocol()
    assert instance.getClassLabel(prependPackageName=False) == label
    config_class = protocol.CONFIG
    values = forms.form_values(instance, config_class)
    defaults = config_class()
    for name, value in values.items():
        if name not in NOT_IN_FORMS:
            assert (value or None) == (getattr(defaults, name) or None), name
    pointers = {f.name for f in dataclasses.fields(config_class) if f.metadata["path"]}
    absent = (
        {f.name for f in dataclasses.fields(config_class)} - set(values) - pointers - NOT_IN_FORMS
    )
    assert absent <= {"seed"}, f"not in the form: {absent}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_parameter_has_help_and_hides_nothing_of_scipions(scipion_environment, protocol):
    instance = protocol()
    ours = [
        (n, p)
        for n, p in instance.getDefinition().iterParams()
        if n not in ("runName", "runMode", "hostName", "numberOfThreads", "numberOfMpi")
    ]
    for name, param in ours:
        assert not hasattr(EMProtocol, name), (
            f"{name} would hide an attribute of Scipion's protocols"
        )
        if not name.startswith("defocusRangeAngstrom"):
            assert param.help.get(), name
            assert "--" not in param.help.get(), (
                f"{name} speaks of the command line: {param.help.get()}"
            )


def test_a_normal_user_sees_little_of_the_training(scipion_environment):
    definition = ProtCryoposesTrain().getDefinition()
    seen = [name for name, param in definition.iterParams() if not param.isExpert()]
    pointers = ["inputVolumes", "inputLike", "inputParticles", "inputJunk", "inputFromModel"]
    assert [name for name in seen if name not in OF_SCIPION] == [
        *pointers,
        "symmetry",
        "preset",
        "minutes",
        "needsOfRun",
        "snr",
    ]


def frames(definition):
    """Section -> titles of its frames, the advanced ones in a list of their own."""
    found = {}
    for section in definition.iterSections():
        groups = [p for _, p in section.iterParams() if isinstance(p, Group)]
        found[section.label.get()] = (
            [g.label.get() for g in groups if not g.isExpert()],
            [g.label.get() for g in groups if g.isExpert()],
        )
    return found


def test_the_training_is_in_groups(scipion_environment):
    found = frames(ProtCryoposesTrain().getDefinition())
    assert found["Input"] == ([], ["Image size"])
    assert found["Network and loss"] == (["Network"], ["Loss"])
    assert found["Training"] == (
        ["Training length"],
        [
            "Optimiser",
            "Particles with known poses",
            "Augmentation",
            "Validation",
            "Computation",
        ],
    )
    assert found["Simulated images"] == (["Noise"], ["Poses", "CTF"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_frame_is_shown_only_with_its_parameters(scipion_environment, protocol):
    for _, group in protocol().getDefinition().iterAllParams():
        if isinstance(group, Group):
            parameters = [param for _, param in group.iterParams()]
            assert parameters
            assert group.isExpert() == all(param.isExpert() for param in parameters)


def test_choices_of_the_network_have_readable_titles(scipion_environment):
    form = ProtCryoposesTrain().getDefinition()
    assert "rotation matrix (9-D, SVD)" in form.getParam("representation").choices
    assert "matrix Fisher likelihood" in form.getParam("loss").choices


def test_a_choice_that_options_call_differently_is_told_by_its_option():
    said = forms.in_form_words("--loss is 'quaternion', --representation svd9", TrainConfig)
    assert said == (
        "'Loss of the rotation' is 'quaternion, 1 - <q, q'>^2', "
        "'Representation of rotations' 'rotation matrix (9-D, SVD)'"
    )


def test_two_outputs_of_one_class_do_not_alias():
    assert list(ProtCryoposesFilter()._possibleOutputs) == ["outputAccepted", "outputRejected"]
    assert [
        name for name, _ in ProtCryoposesFilter().iterOutputAttributes(includePossible=True)
    ] == [
        "outputAccepted",
        "outputRejected",
    ]


def test_values_of_a_form_reach_the_config(scipion_environment):
    protocol = ProtCryoposesSimulate(
        number=7,
        snr=0.4,
        orientations=5,
        preferredDirectionsDeg="10 20, 30 40",
        defocusRangeAngstromMin=9000,
        ctf=False,
        useGpu=False,
        numberOfThreads=3,
    )
    values = forms.form_values(protocol, SimulateConfig)
    assert values["number"] == 7
    assert values["snr"] == 0.4
    assert values["orientations"] == "preferred"
    assert values["preferred_directions_deg"] == (10, 20, 30, 40)
    assert values["defocus_range_angstrom"] == (8000, 25000)  # the form hides the range
    assert values["ctf"] is False
    assert values["gpu"] == "none"
    assert values["threads"] == 3
    with_ctf = forms.form_values(
        ProtCryoposesSimulate(gpuList="1,2", defocusRangeAngstromMin=9000), SimulateConfig
    )
    assert with_ctf["gpu"] == "1,2"
    assert with_ctf["defocus_range_angstrom"] == (9000, 25000)
    assert (
        forms.form_values(ProtCryoposesSimulate(gpuList="gpu0", useGpu=False), SimulateConfig)[
            "gpu"
        ]
        == "none"
    )


def test_what_is_no_number_is_said():
    wrong = ProtCryoposesSimulate(preferredDirectionsDeg="10 x")
    assert forms.form_values(wrong, SimulateConfig)["preferred_directions_deg"] == (
        0,
        0,
    )  # the form hides it
    wrong.orientations.set(
        SimulateConfig.__dataclass_fields__["orientations"].metadata["choices"].index("preferred")
    )
    with pytest.raises(ConfigError, match="Preferred views.*'10 x'"):
        forms.form_values(wrong, SimulateConfig)
    with pytest.raises(
        ConfigError, match="GPU ids of the form are not numbers; give them as 0 or as 0,1"
    ):
        forms.form_values(ProtCryoposesSimulate(gpuList="gpu0"), SimulateConfig)
    protocol = ProtCryoposesSimulate()
    protocol.assembly.set(None)
    assert forms.form_values(protocol, SimulateConfig)["assembly"] is None
    protocol.number.set(None)
    with pytest.raises(ConfigError, match="'Number of images' is empty"):
        forms.form_values(protocol, SimulateConfig)


def test_core_messages_speak_the_forms_language():
    said = forms.in_form_words(
        "simulate: --snr 2 and --noise-variance 1 exclude each other; --defocus-range too; see "
        "--help.",
        SimulateConfig,
    )
    assert (
        said
        == "simulate: 'SNR' 2 and 'Noise variance' 1 exclude each other; 'Underfocus (Å)' too; see --help."
    )
    assert forms.in_form_words("--keep-quantile", FilterConfig) == "'Fraction to keep'"
    assert (
        forms.in_form_words("use `cryoposes recover --model`.", TrainConfig)
        == "use 'recover poses from distances'."
    )
    assert forms.label_of(TrainConfig, "mask_diameter_angstrom") == "Mask diameter (Å)"


@pytest.mark.parametrize(
    "message, expected",
    [
        ("it has no column _cryoposesWrongBasin", "it has no 'probability of a wrong pose'"),
        (
            "all particles were kept: rejected.star is empty",
            "all particles were kept: the rejected set is empty",
        ),
        ("estimate the poses with `infer` first", "estimate the poses with 'estimate poses' first"),
    ],
)
def test_labels_stand_for_columns_files_and_commands(message, expected):
    assert forms.in_form_words(message, FilterConfig) == expected


@pytest.mark.parametrize(
    "name, label",
    [
        ("particles.star", "'Particles with known poses'"),
        ("batches/0002/like.star", "'Particles to imitate'"),
        ("volume_2.mrc", "'Volumes'"),
        ("run/particles.star", None),
    ],
)
def test_labels_stand_for_the_files_that_a_protocol_writes(name, label):
    protocol = ProtCryoposesTrain(workingDir="Runs/000001_Train")
    for path in (
        f"Runs/000001_Train/extra/{name}",
        os.path.abspath(f"Runs/000001_Train/extra/{name}"),
    ):
        assert protocol._in_form_words(f"{path} is empty") == f"{label or path} is empty"


def test_choices_are_called_by_their_titles_in_the_form_and_in_its_sentences():
    form = ProtCryoposesSimulate().getDefinition()
    assert form.getParam("orientations").choices[5:] == ["preferred views", "those of particles"]
    assert "(with 'those of particles')" in forms.in_form_words(
        "(with 'particles')", SimulateConfig
    )


def test_one_label_for_one_idea():
    assert forms.label_of(TrainConfig, "particles") == forms.label_of(
        SimulateConfig, "orientations_from"
    )


def test_every_config_with_a_title_has_a_protocol():
    titles = {command: config.title for command, config in CONFIGS.items() if config.title}
    assert {p.CONFIG.command: p._label for p in PROTOCOLS} == titles
    assert set(CONFIGS) - set(titles) == {"recover-distances"}
