"""Small valid inputs of every kind, how each is damaged, read in process, and given to commands."""

import gzip
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import numpy as np
from scipy import ndimage

from cryoposes_plugin.commands.filter import run as filtering
from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.commands.run_directory import RunDirectory
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.io.files import read_text
from cryoposes_plugin.core.io.mrc import read_volume, write_stack, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.atomic_model import AtomicModel
from cryoposes_plugin.core.particles.images import ParticleImages
from cryoposes_plugin.core.recovery.pairs import read_pairs

from ..particle_sets import make_particles
from . import mutations

BOX, PIXEL, NUMBER = 16, 5.0, 24
MODEL = {
    "kind": "polar",
    "box_size_px": BOX,
    "outer_radius_px": 6.5,
    "radii": 4,
    "angles": 16,
    "bins": 8,
}
MODEL.update(templates=4, width=8, blocks=1, views=4)
_PDB = "ATOM  {0:5d}  CA  ALA A{0:4d}    {1:8.3f}{2:8.3f}{3:8.3f}  1.00 20.00           C\n"


@dataclass(frozen=True)
class Input:
    """A file (`path`) of valid `content`, and what is done with it once it is damaged.

    read : the reader in this process. commands : arguments of the program, without --output.
    names_it : whether every sentence about it names the file. in_place : of a run's folder, which
    the command is given as its output.
    """

    path: Path
    content: bytes
    mutate: Tuple[Callable, ...]
    read: Callable[[], object]
    commands: Tuple[List[str], ...] = ()
    names_it: bool = True
    run: str = ""

    def damaged(self, rng) -> bytes:
        kinds = (mutations.of_bytes, *self.mutate, *self.mutate)
        return kinds[rng.integers(len(kinds))](rng, self.content)


def make_inputs(folder: Path) -> Dict[str, Input]:
    folder.mkdir(parents=True, exist_ok=True)
    files = _files(folder)
    texts, json_, mrc = (
        (mutations.of_text,),
        (mutations.of_json, mutations.of_text),
        (mutations.of_mrc,),
    )
    star, good = files["star"], str(files["good"])
    against = [
        "--pixel-size",
        f"{PIXEL:g}",
        "--box-size",
        f"{BOX}",
        "--resolution-angstrom",
        "15",
        "--number",
        "2",
    ]
    projected = lambda path: ["simulate", "--volume", str(path), *against]  # noqa: E731
    of_map = lambda path: (  # noqa: E731
        ["simulate", "--volume", str(path), "--number", "2"],
        ["reconstruct", "--particles", good, "--reference", str(path)],
        ["refine", "--particles", good, "--volume", str(path)],
    )
    found = {
        "star": (
            texts,
            lambda: ParticleImages(read_particles(star)),
            (
                ["reconstruct", "--particles", str(star)],
                ["compare", "--truth", str(star), "--estimate", good],
                ["filter", "--particles", str(star), "--keep-quantile", "0.75"],
                ["refine", "--particles", str(star), "--volume", str(files["map"])],
            ),
            False,
        ),
        "cs": (
            (mutations.of_cs,),
            lambda: ParticleImages(read_particles(files["cs"])),
            (
                ["reconstruct", "--particles", str(files["cs"])],
                ["compare", "--truth", str(files["cs"]), "--estimate", good],
                ["filter", "--particles", str(files["cs"]), "--keep-quantile", "0.75"],
            ),
            False,
        ),
        "map": (mrc, lambda: read_volume(files["map"]), of_map(files["map"]), True),
        "compressed map": (
            (mutations.of_gzip,),
            lambda: read_volume(files["compressed map"]),
            of_map(files["compressed map"]),
            True,
        ),
        "stack": (
            mrc,
            lambda: _images(files["good of stack"]),
            (
                ["reconstruct", "--particles", str(files["good of stack"])],
                [
                    "refine",
                    "--particles",
                    str(files["good of stack"]),
                    "--volume",
                    str(files["map of stack"]),
                ],
            ),
            False,
        ),
        "pdb": (texts, lambda: _density(files["pdb"]), (projected(files["pdb"]),), True),
        "mmcif": (texts, lambda: _density(files["mmcif"]), (projected(files["mmcif"]),), True),
        "config": (
            json_,
            lambda: _config(files["config"]),
            (["simulate", "--config", str(files["config"])],),
            False,
        ),
        "distances": (
            (mutations.of_npz,),
            lambda: read_pairs(files["distances"]),
            (["recover-distances", "--distances", str(files["distances"])],),
            True,
        ),
        "card": (
            json_,
            lambda: _card(files["card"].parent),
            (["infer", "--model", str(files["card"].parent), "--particles", good],),
            False,
        ),
        "weights": (
            (mutations.of_keras,),
            lambda: _weights(files["weights"]),
            (["infer", "--model", str(files["weights"].parent), "--particles", good],),
            True,
        ),
    }
    inputs = {
        kind: Input(files[kind], files[kind].read_bytes(), *more) for kind, more in found.items()
    }
    return {**inputs, **_of_runs(folder, good)}


def _files(folder: Path) -> Dict[str, Path]:
    rng = np.random.default_rng(0)
    volume = ndimage.gaussian_filter(rng.normal(size=(BOX,) * 3), 2.0) * _ball()
    files = {name: folder / f"{name.replace(' ', '_')}.mrc" for name in ("map", "map of stack")}
    for path in files.values():
        write_volume(path, volume.astype(np.float32), PIXEL)
    files["compressed map"] = folder / "packed.mrc.gz"
    files["compressed map"].write_bytes(gzip.compress(files["map"].read_bytes()))
    for name, stack in (
        ("good", "good.mrcs"),
        ("star", "good.mrcs"),
        ("cs", "good.mrcs"),
        ("good of stack", "stack.mrcs"),
    ):
        write_stack(folder / stack, rng.normal(size=(NUMBER, BOX, BOX)), PIXEL)
        files[name] = folder / f"{name.replace(' ', '_')}{'.cs' if name == 'cs' else '.star'}"
        table = make_particles(folder / stack, NUMBER, BOX, PIXEL)
        write_particles(files[name], table.replace(scores={"cryoposesTrace": rng.random(NUMBER)}))
    files["stack"] = folder / "stack.mrcs"
    files["pdb"], files["mmcif"] = folder / "model.pdb", folder / "model.cif"
    atoms = [_PDB.format(number, *xyz) for number, xyz in enumerate(rng.normal(0, 6, (12, 3)), 1)]
    files["pdb"].write_text("".join(atoms) + "END\n")
    _write_mmcif(files["pdb"], files["mmcif"])
    files["config"] = folder / "config.json"
    files["config"].write_text(SimulateConfig(volume=(str(files["map"]),), number=3).to_json())
    files["distances"] = folder / "distances.npz"
    i, j = np.triu_indices(12, 1)
    np.savez(files["distances"], i=i, j=j, d=rng.uniform(0, np.pi, len(i)), weight=np.ones(len(i)))
    for kind, name in (("card", "model_card.json"), ("weights", "model.keras")):
        write_model(folder / f"model of {kind}")
        files[kind] = folder / f"model of {kind}" / name
    return files


def _ball():
    axis = np.arange(BOX) - BOX // 2
    return sum(np.meshgrid(axis**2, axis**2, axis**2)) < (BOX / 3) ** 2


def _write_mmcif(pdb: Path, path: Path) -> None:
    import gemmi

    gemmi.read_structure(str(pdb)).make_mmcif_document().write_file(str(path))


def write_model(folder: Path) -> None:
    from cryoposes_plugin.core.models.model_card import ModelCard
    from cryoposes_plugin.core.models.model_folder import write_network
    from cryoposes_plugin.core.networks.build import architecture_of, build_network

    described, errors = (
        {"kind": "polar", **architecture_of(MODEL)[1].to_dict()},
        {"median_error_deg": 9.0},
    )
    card = ModelCard(
        "default", BOX, PIXEL, 70.0, "phase-flip", "raw", "C1", described, validation=errors
    )
    write_network(folder, card, build_network(MODEL))


@lru_cache
def _network_bytes() -> int:
    from cryoposes_plugin.core.networks.build import build_network

    return sum(array.nbytes for array in build_network(MODEL).get_weights())


def _images(star: Path):
    return ParticleImages(read_particles(star)).read(np.arange(NUMBER))


def _density(path: Path):
    return AtomicModel(path).density(15.0, BOX, PIXEL)


def _config(path: Path):
    SimulateConfig.from_json(read_text(path, str(path)), str(path)).validate()


def _card(folder: Path):
    from cryoposes_plugin.core.models.model_card import ModelCard
    from cryoposes_plugin.core.models.model_folder import check_size

    card = ModelCard.read(folder)
    check_size(card, folder / "model.keras")


def _weights(path: Path):
    from cryoposes_plugin.core.models.weights_file import check_weights

    check_weights(path, _network_bytes())


def _of_runs(folder: Path, star: str) -> Dict[str, Input]:
    """Files of the folder of a finished run, and of one that was interrupted."""
    config = FilterConfig(particles=star, keep_quantile=0.75)
    whole = folder / "run"
    run = RunDirectory.open(whole, config)
    run.finish(filtering.run(config, run))
    cut = folder / "interrupted"
    shutil.copytree(whole, cut)
    (cut / "metrics.json").unlink()
    found = {}
    names = ("config.json", "manifest.json", "metrics.json")
    for place, name in (*((whole, name) for name in names), (cut, "manifest.json")):
        path, command = (
            place / name,
            [
                "filter",
                "--particles",
                star,
                "--keep-quantile",
                "0.75",
                "--output",
                str(place),
            ],
        )
        mutate = (mutations.of_json, mutations.of_text)
        found[f"{name} of {place.name}"] = Input(
            path,
            path.read_bytes(),
            mutate,
            lambda place=place: _open_run(place, config),
            (command,),
            False,
            str(place),
        )
    return found


def _open_run(folder: Path, config):
    run = RunDirectory.open(folder, config)
    return run.metrics() if run.finished else None
