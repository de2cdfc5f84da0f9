"""Configs: digests, JSON, the sentences of validation, and the command line made from them."""

import dataclasses
import logging
import re

import pytest

from cryoposes_plugin.cli.arguments import config_from_arguments
from cryoposes_plugin.cli.main import main, make_parser
from cryoposes_plugin.commands.config import field_type, is_expert, options_by_group
from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.registry import CONFIGS
from cryoposes_plugin.commands.runner import visible_devices
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.errors import ConfigError


@pytest.mark.parametrize("config_class", CONFIGS.values())
def test_json_round_trip_keeps_the_digest(config_class):
    config = config_class(seed=5)
    again = config_class.from_json(config.to_json())
    assert again == config
    assert again.digest() == config.digest()
    assert dataclasses.replace(config, seed=6).digest() != config.digest()


def test_the_device_does_not_change_the_digest():
    assert SimulateConfig(gpu="1").digest() == SimulateConfig(gpu="0").digest()


@pytest.mark.parametrize(
    "config, sentence",
    [
        (SimulateConfig(), "--volume is missing"),
        (SimulateConfig(volume=("a",), number=0), "--number is 0; it must be at least 1"),
        (SimulateConfig(volume=("a",), box_size_px=63), "--box-size-px is 63; give an even number"),
        (SimulateConfig(volume=("a",), snr=0.1, noise_variance=2.0), "exclude each other"),
        (SimulateConfig(volume=("a",), snr=float("nan")), "--snr is nan; give a finite number"),
        (
            SimulateConfig(volume=("a",), defocus_range_angstrom=(2e4, 1e4)),
            "give the smaller value first",
        ),
        (
            SimulateConfig(volume=("a",), orientations="sideways"),
            "--orientations is 'sideways'; choose one of uniform",
        ),
        (
            SimulateConfig(volume=("a",), orientations="particles"),
            "--orientations-from is missing; give particles with poses",
        ),
        (TrainConfig(), "neither --volume nor --particles"),
        (TrainConfig(volume=("a",), preset="gpt"), "--preset is 'gpt'; choose one of default"),
        (
            TrainConfig(particles="a", orientations="quarter-sphere"),
            "which is for simulated images, but --volume is missing",
        ),
        (InferConfig(particles="a"), "--model is missing"),
    ],
)
def test_nonsense_is_one_sentence(config, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        config.validate()


def test_unknown_and_foreign_configs_are_refused():
    with pytest.raises(ConfigError, match="unknown parameter 'colour'"):
        SimulateConfig.from_dict({"colour": "red"})
    with pytest.raises(ConfigError, match="for the command 'train', not for 'simulate'"):
        SimulateConfig.from_dict({"command": "train"})
    with pytest.raises(ConfigError, match="schema version 99"):
        SimulateConfig.from_dict({"schema_version": 99})


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"ctf": "false"}, "ctf in the config is 'false', which is neither true nor false"),
        ({"ctf": 0}, "ctf in the config is 0, which is neither true nor false"),
        ({"seed": True}, "seed in the config is True, which is not a whole number"),
        ({"seed": 1.0}, "seed in the config is 1, which is not a whole number"),
        ({"number": "7"}, "number in the config is '7', which is not a whole number"),
        ({"number": None}, "number in the config is None, which is not a whole number"),
        ({"shift_px": [1.5]}, "shift_px in the config is [1.5], which is not a number"),
        ({"shift_px": 10**400}, "shift_px in the config is"),
        ({"volume": "a.mrc"}, "volume in the config is 'a.mrc', not a list"),
        ({"volume": [["a.mrc"]]}, "volume in the config is ['a.mrc'], which is not text"),
        (
            {"defocus_range_angstrom": [1.0]},
            "defocus_range_angstrom in the config is [1.0], not a list of 2",
        ),
        (
            {"defocus_range_angstrom": 1.0},
            "defocus_range_angstrom in the config is 1, not a list of 2",
        ),
        ({"like": 3}, "like in the config is 3, which is not text"),
        ({"orientations": {}}, "orientations in the config is {}, which is not text"),
        ({"command": ["simulate"]}, "is for the command ['simulate'], not for 'simulate'"),
        ({"schema_version": "1"}, "schema version '1'"),
    ],
)
def test_values_of_another_type_are_one_sentence(values, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        SimulateConfig.from_dict(values)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "is not valid JSON"),
        ("[]", "is [] and not a JSON object"),
        ("null", "is None and not a JSON object"),
        ('{"seed": 1, "seed": 2}', "'seed' occurs twice"),
        ('{"snr": NaN}', "NaN is not a JSON number"),
        ('{"snr": -Infinity}', "-Infinity is not a JSON number"),
        ('{"snr": 1e999}', "snr in the config is inf; give a finite number"),
        ('{"seed": ' + "9" * 5000 + "}", "is not valid JSON"),
        ('{"volume": ' + "[" * 10**5 + "]" * 10**5 + "}", "is nested too deeply"),
    ],
)
def test_json_by_its_letter(text, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)) as found:
        SimulateConfig.from_json(text)
    assert len(str(found.value)) < 500


def test_whole_numbers_stand_for_floats_and_keep_the_digest():
    assert (
        SimulateConfig.from_dict({"voltage_kv": 300}).digest()
        == SimulateConfig(voltage_kv=300.0).digest()
    )


@pytest.mark.parametrize("config_class", CONFIGS.values())
def test_every_number_has_limits(config_class):
    numbers = [
        f
        for f in dataclasses.fields(config_class)
        if field_type(config_class, f.name)[0] in (int, float)
    ]
    open_ended = {f.name for f in numbers if None in (f.metadata["minimum"], f.metadata["maximum"])}
    assert open_ended <= {
        "threshold",
        "defocus_range_angstrom",
        "voltage_kv",
        "spherical_aberration_mm",
    }


@pytest.mark.parametrize("config_class", CONFIGS.values())
def test_every_option_says_what_it_is(config_class):
    for f in dataclasses.fields(config_class):
        assert f.metadata["label"], f.name
        assert f.metadata["group"], f.name
        assert f.metadata["help"].endswith("."), f.name
        assert len(f.metadata["titles"]) == len(f.metadata["choices"]), f.name


@pytest.mark.parametrize("config_class", CONFIGS.values())
def test_labels_name_one_option_each(config_class):
    labels = [f.metadata["label"] for f in dataclasses.fields(config_class)]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("config_class", CONFIGS.values())
def test_every_option_is_in_one_group(config_class):
    grouped = [name for names in options_by_group(config_class).values() for name in names]
    assert sorted(grouped) == sorted(f.name for f in dataclasses.fields(config_class))


def test_the_length_of_an_option_is_that_of_its_default():
    lengths = {
        f.name: (f.metadata["length"], len(f.default))
        for f in dataclasses.fields(SimulateConfig)
        if f.metadata["length"]
    }
    assert lengths == {"defocus_range_angstrom": (2, 2)}


def test_help_shows_what_matters_first(capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(["train", "--help"])
    text = capsys.readouterr().out
    headings = re.findall(r"^([A-Z][\w ()]*):$", text, re.M)
    assert headings[:4] == ["Input", "Network", "Training length", "Noise"]
    assert all(heading.endswith("(advanced)") for heading in headings[4:])
    assert "--pixel-size-angstrom X, --pixel-size X" in text
    assert "--ctf, --no-ctf" in text
    assert "svd9: rotation matrix (9-D, SVD)" in " ".join(text.split())


def test_inherited_options_may_be_advanced():
    assert is_expert(TrainConfig, "shift_px")
    assert not is_expert(SimulateConfig, "shift_px")


@pytest.mark.parametrize(
    "option",
    ["--seed=1" + "0" * 30, "--shift-px=1e300", "--threads=1000000000", "--number=1" + "0" * 9],
)
def test_numbers_out_of_all_proportion(option, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "--output", "o", "--volume", "a", option]) == 2
    assert "must be at most" in caplog.text


@pytest.mark.parametrize(
    "content, sentence",
    [(b"\xff\xfe", "not UTF-8 text"), (None, "is a folder"), (b"{", "not valid JSON")],
)
def test_a_damaged_config_file_is_named(tmp_path, caplog, content, sentence):
    path = tmp_path / "c.json"
    path.mkdir() if content is None else path.write_bytes(content)
    assert main(["simulate", "--output", str(tmp_path / "o"), "--config", str(path)]) == 2
    assert sentence in caplog.text
    assert str(path) in caplog.text


def test_a_sentence_is_one_line():
    assert str(ConfigError("a\nb\x1b\r c")) == r"a\nb\x1b\r c"


def test_command_line_and_config_file_meet(tmp_path):
    (tmp_path / "c.json").write_text(SimulateConfig(volume=("m.mrc",), number=7, snr=0.4).to_json())
    arguments = make_parser().parse_args(
        [
            "simulate",
            "--output",
            "o",
            "--config",
            str(tmp_path / "c.json"),
            "--no-ctf",
            "--defocus-range",
            "5000",
            "6000",
            "--number",
            "9",
        ]
    )
    config = config_from_arguments(SimulateConfig, arguments)
    assert config == SimulateConfig(
        volume=("m.mrc",), number=9, snr=0.4, ctf=False, defocus_range_angstrom=(5000.0, 6000.0)
    )


@pytest.mark.parametrize(
    "argv, sentence",
    [
        (["simulate", "--output", "o"], "--volume is missing"),
        (["simulate", "--output", "o", "--volume", "nowhere.mrc"], "nowhere.mrc does not exist"),
        (["simulate", "--output", "o", "--nonsense"], "unrecognized arguments: --nonsense"),
        (
            ["train", "--output", "o", "--volume", "a", "--minutes", "soon"],
            "invalid float value: 'soon'",
        ),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_the_program_ends_with_status_2_and_leaves_nothing(
    tmp_path, monkeypatch, caplog, argv, sentence
):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.ERROR):
        assert main(argv) == 2
    assert sentence in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wanted, granted, visible",
    [
        ("none", None, ""),
        ("1", None, "1"),
        ("0", "3", "3"),
        ("1,0", "4,7", "7,4"),
        ("0", "", ""),
        ("0,1", "a,b,c", "a,b"),
    ],
)
def test_gpus_are_counted_within_what_the_scheduler_granted(wanted, granted, visible):
    assert visible_devices(wanted, granted) == visible


@pytest.mark.parametrize(
    "wanted, granted, sentence", [("1", "3", "granted 1 GPU"), ("first", None, "give numbers")]
)
def test_gpus_that_are_not_there_are_one_sentence(wanted, granted, sentence):
    with pytest.raises(ConfigError, match=sentence):
        visible_devices(wanted, granted)
