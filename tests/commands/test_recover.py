"""`cryoposes recover --model`: poses in the beam's frame from distances alone, resuming, sentences."""

import json

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.recover.config import RecoverConfig
from cryoposes_plugin.commands.recover.report import recovery_notes
from cryoposes_plugin.core.evaluation.registration import HANDS, register
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io import state_files
from cryoposes_plugin.core.io.mrc import read_volume, write_stack, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.particles.images import ResampledImages
from cryoposes_plugin.core.recovery.gauge import known_turns
from cryoposes_plugin.core.scores import JUNK as JUNK_PROBABILITY
from cryoposes_plugin.core.scores import POSE_SOURCE

from ..particle_sets import make_particles

pytest.importorskip("tensorflow")

NUMBER, BOX, PIXEL, JUNK = 400, 32, 5.0, 8
ERROR_RAD = np.deg2rad(4.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Particles of 32 px in shuffled order at SNR 4, and an untrained distance model."""
    import keras

    from cryoposes_plugin.core.imaging.forward_model import ForwardModel, pack_ctf
    from cryoposes_plugin.core.models.model_card import ModelCard
    from cryoposes_plugin.core.models.model_folder import write_network
    from cryoposes_plugin.core.networks.build import build_network
    from cryoposes_plugin.core.networks.polar import PolarArchitecture

    folder = tmp_path_factory.mktemp("scene")
    volume = make_phantom(BOX, PIXEL)
    write_volume(folder / "map.mrc", volume.data, PIXEL)
    table = make_particles(folder / "s.mrcs", NUMBER, BOX, PIXEL, shifts_px=np.zeros((NUMBER, 2)))
    forward = ForwardModel([volume], BOX, PIXEL)
    images = forward.images(
        np.zeros(NUMBER, np.int32),
        table.rotations.astype(np.float32),
        np.zeros((NUMBER, 2), np.float32),
        pack_ctf(table.ctf),
    )
    noise = np.random.default_rng(9).standard_normal(images.shape) * images.numpy().std() / 2
    write_stack(folder / "s.mrcs", images.numpy() + noise, PIXEL)
    table = table.take(np.random.default_rng(8).permutation(NUMBER))
    write_particles(folder / "truth.star", table)
    write_particles(folder / "in.star", table.replace(rotations=None, shifts_px=None))
    network = {
        "kind": "polar-distance",
        "distance": "trace",
        **PolarArchitecture(BOX, 14.0, radii=8).to_dict(),
    }
    keras.utils.set_random_seed(3)
    card = ModelCard(
        "distance", BOX, PIXEL, 150.0, "phase-flip", "raw", "C1", network, gives="distances"
    )
    write_network(folder / "model", card, build_network(network))
    return folder, table


@pytest.fixture
def oracle(scene, monkeypatch):
    """Makes the model see the true distances of the images, each with an error of its own; the
    first ones, and images that are not of the set, are junk.

    Its features are the nine numbers of a rotation up to one orthogonal map: no pose can be read
    off them.
    """
    from cryoposes_plugin.core.models.distance_model import DistanceModel, Embedded

    _, table = scene
    seen = ResampledImages(table, BOX, PIXEL).read(np.arange(NUMBER)).reshape(NUMBER, -1)
    mixing = np.linalg.qr(np.random.default_rng(5).standard_normal((9, 9)))[0]

    def features(images, turns):
        off = ((images.reshape(len(images), 1, -1) - seen) ** 2).sum(axis=2)
        rows = off.argmin(axis=1)
        unknown = (rows < JUNK) | (off.min(axis=1) > 1e-6 * (seen**2).sum(axis=1).mean())
        rng = np.random.default_rng([len(turns), *rows])  # batches come in any order
        errors = Rotation.from_rotvec(
            ERROR_RAD / np.sqrt(3) * rng.standard_normal((len(rows), 3))
        ).as_matrix()
        found = (errors @ turns @ table.rotations[rows]).reshape(-1, 9)
        found[unknown] = rng.standard_normal((np.count_nonzero(unknown), 9))
        return Embedded(
            (found @ mixing).astype(np.float32), np.full((len(rows), 2), 0.5, np.float32)
        )

    def embed(self, images, ctf=None, image_state="raw"):
        return features(images, np.eye(3)[None])

    def embed_copies(self, images, ctf, image_state, psi_rad, mirrored):
        return features(images, known_turns(psi_rad, mirrored))

    monkeypatch.setattr(DistanceModel, "embed", embed)
    monkeypatch.setattr(DistanceModel, "embed_copies", embed_copies)


def recover(folder, output, *arguments, star="in.star", model="model"):
    inputs = [
        "--model",
        folder / model,
        "--particles",
        folder / star,
        "--output",
        output,
        "--landmarks",
        "100",
    ]
    return main(
        ["recover", *map(str, inputs), "--copies", "60", "--batch-size", "64", *map(str, arguments)]
    )


def metrics_of(output):
    return json.loads((output / "metrics.json").read_text())


def test_poses_are_right_up_to_a_rotation_of_the_volume_and_its_hand(scene, oracle, tmp_path):
    folder, table = scene
    assert recover(folder, tmp_path / "run", "--truth", folder / "truth.star") == 0
    out, metrics = (
        read_particles(tmp_path / "run/particles.star", require=("poses", "ctf")),
        metrics_of(tmp_path / "run"),
    )
    np.testing.assert_array_equal(out.ids, table.ids)
    good = np.arange(NUMBER) >= JUNK
    registration = register(out.rotations, table.rotations, np.eye(3)[None], hands=HANDS)
    error = angular_distance_rad(registration.apply(out.rotations), table.rotations)[good]
    expected = ERROR_RAD * np.sqrt(8 / np.pi / 3)
    assert error.mean() == pytest.approx(expected, rel=0.15)
    errors = metrics["errors"]
    assert errors["mean_angular_error_deg"] < 1.2 * errors["mean_orthogonal4_error_deg"]
    parts = [
        errors[f"mean_distance_error_{part}_deg"] for part in ("0_to_60", "60_to_120", "120_to_180")
    ]
    assert 1 < min(parts) < errors["mean_distance_error_deg"] < max(parts) < 10
    assert metrics["beam_residual_deg"] < 10 < 30 < metrics["beam_residual_of_inverse_deg"]
    score = out.scores["cryoposesOutlierScore"]
    assert score[:JUNK].min() > 4 > score[good].max()
    assert out.extra[POSE_SOURCE][0].startswith("distances:")
    assert metrics["shift_source"] == "network"
    np.testing.assert_allclose(out.shifts_px, 0.5)
    for name in ("recovery_loss", "distance_density", "residual_histogram", "direction_maps"):
        assert (tmp_path / f"run/{name}.png").stat().st_size > 3000
    assert any("its hand are undetermined" in note for note in metrics["notes"])
    junk = out.scores[JUNK_PROBABILITY]
    assert np.quantile(junk[good], 0.98) < 0.5
    decoys = np.load(tmp_path / "run/decoys.npz")
    np.testing.assert_allclose(decoys["score_set"], junk, atol=1e-6)
    assert len(decoys["score_decoys"]) == len(decoys["kind_decoys"]) == 6 * 50


@pytest.mark.oracle
def test_a_reconstruction_is_the_map_turned_and_perhaps_mirrored(scene, oracle, tmp_path):
    """No alignment but a rotation of the volume, and its hand: a beam found wrong would leave a
    blur.
    """
    folder, table = scene
    assert recover(folder, tmp_path / "run") == 0
    out = read_particles(tmp_path / "run/particles.star")
    write_particles(
        tmp_path / "good.star",
        out.replace(shifts_px=np.zeros((NUMBER, 2))).take(np.arange(JUNK, NUMBER)),
    )
    arguments = ["--particles", tmp_path / "good.star", "--output", tmp_path / "map"]
    assert main(["reconstruct", *map(str, arguments)]) == 0
    found, true = (
        read_volume(tmp_path / "map/volume.mrc").data,
        read_volume(folder / "map.mrc").data,
    )
    registration = register(out.rotations, table.rotations, np.eye(3)[None], hands=HANDS)
    if registration.hand == "opposite":
        found = np.roll(found[::-1], 1, axis=0)
    grid = np.stack(np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")[::-1]).reshape(
        3, -1
    )
    turned = map_coordinates(
        found, (registration.rotation @ grid)[::-1] + BOX // 2, order=1
    ).reshape(true.shape)
    aligned, as_it_is = (np.corrcoef(data.ravel(), true.ravel())[0, 1] for data in (turned, found))
    assert aligned > 0.85
    assert aligned > as_it_is + 0.1


def test_an_interrupted_run_goes_on(scene, oracle, tmp_path, monkeypatch):
    from cryoposes_plugin.core.models.distance_model import DistanceModel

    folder, _ = scene
    monkeypatch.setattr(state_files, "SAVE_SECONDS", 0.0)
    whole, seen = DistanceModel.embed, []

    def interrupted(self, images, *others):
        if len(seen) == 3:
            raise KeyboardInterrupt
        if len(images) > 1:  # one image alone: the network is traced
            seen.append(len(images))
        return whole(self, images, *others)

    monkeypatch.setattr(DistanceModel, "embed", interrupted)
    # One thread: batches that others had begun would be counted and not be saved.
    assert recover(folder, tmp_path / "run", "--threads", 1) == 130
    assert not (tmp_path / "run/particles.star").exists()
    after = []
    monkeypatch.setattr(DistanceModel, "embed", lambda *a: after.append(len(a[1])) or whole(*a))
    assert recover(folder, tmp_path / "run", "--threads", 1) == 0
    assert after[0] == 1
    decoys = len(np.load(tmp_path / "run/decoys.npz")["kind_decoys"])
    assert sum(seen) + sum(after[1:]) == NUMBER + decoys
    assert len(seen) == 3
    assert not (tmp_path / "run/embedding_state.npz").exists()


def test_with_a_volume_its_projections_are_as_noisy_as_the_particles(scene, tmp_path):
    folder, _ = scene
    assert recover(folder, tmp_path / "run", "--volume", folder / "map.mrc") == 0
    metrics = metrics_of(tmp_path / "run")
    # SNR 4 over the box; the corners that the noise is measured in hold a little signal
    assert 2 < metrics["reference_snr"] < 5
    assert metrics["shift_source"] == "volume"
    out = read_particles(tmp_path / "run/particles.star", require=("poses",))
    np.testing.assert_allclose(
        out.rotations @ np.swapaxes(out.rotations, 1, 2) - np.eye(3), 0, atol=1e-6
    )
    assert any("have the frame and the hand of" in note for note in metrics["notes"])
    config = RecoverConfig(volume=str(folder / "map.mrc"))
    said = recovery_notes(config, metrics)
    assert [note for note in metrics["notes"] if note in said] == said
    for residual, said in ((12.0, False), (37.0, True)):
        notes = recovery_notes(config, {**metrics, "median_distance_residual_deg": residual})
        assert any("fit no pose" in note for note in notes) == said


def test_infer_says_that_the_model_gives_distances(scene, tmp_path, caplog):
    folder, _ = scene
    inputs = [
        "--model",
        folder / "model",
        "--particles",
        folder / "in.star",
        "--output",
        tmp_path / "run",
    ]
    assert main(["infer", *map(str, inputs)]) == 2
    assert "gives distances between images and no poses" in caplog.text
    assert "cryoposes recover --model" in caplog.text


def test_what_cannot_be_is_one_sentence(scene, tmp_path, caplog, rng):
    folder, table = scene
    few = table.take(np.arange(30))
    write_particles(folder / "few.star", few)
    strangers = table.replace(
        stack_paths=(folder / "strangers.mrcs",), rotations=random_rotations(NUMBER, rng)
    )
    write_particles(folder / "strangers.star", strangers)
    card = json.loads((folder / "model/model_card.json").read_text())
    (folder / "symmetric").mkdir()
    (folder / "symmetric/model.keras").write_bytes((folder / "model/model.keras").read_bytes())
    (folder / "symmetric/model_card.json").write_text(json.dumps({**card, "symmetry": "D2"}))
    inside = np.hypot(*np.mgrid[-BOX // 2 : BOX // 2, -BOX // 2 : BOX // 2]) < BOX / 2
    # noise that is a little weaker inside than outside: there can be no signal
    write_stack(
        folder / "noise.mrcs",
        rng.standard_normal((NUMBER, BOX, BOX)) * np.where(inside, 0.9, 1.0),
        PIXEL,
    )
    write_particles(folder / "noise.star", table.replace(stack_paths=(folder / "noise.mrcs",)))
    volume = ("--volume", folder / "map.mrc")
    for arguments, options, sentence in (
        (volume, dict(star="noise.star"), "no signal above their background"),
        (volume, dict(star="noise.star"), "give --reference-snr"),
        ((), dict(star="few.star"), "between fewer than 50 do not determine poses"),
        ((), dict(model="symmetric"), "was trained for symmetry D2"),
        (("--truth", folder / "strangers.star"), {}, "share no image"),
        (("--volume", folder / "map.mrc", "--method", "minibatch"), {}, "leave one of them out"),
    ):
        caplog.clear()
        assert recover(folder, tmp_path / "run", *arguments, **options) == 2
        assert sentence in caplog.text
        assert not (tmp_path / "run").exists()
    assert main(["recover", "--output", str(tmp_path / "run")]) == 2
    assert "--model is missing" in caplog.text
    assert (
        main(["recover", "--model", str(folder / "model"), "--output", str(tmp_path / "run")]) == 2
    )
    assert "--particles is missing" in caplog.text
