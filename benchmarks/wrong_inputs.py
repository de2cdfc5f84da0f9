"""Wrong but plausible inputs: is each named by `refine`, `infer` and `iterate`, and do matched ones
pass without an alarm?

    python benchmarks/wrong_inputs.py --map ribosome70S_C1_64_5.64A.mrc --relative
    ribosome80S_4ug0_C1_80_4.0A.mrc --unrelated groel.mrc --model net/model --folder OUT
    python benchmarks/wrong_inputs.py --matched 70S.mrc 80S.mrc betagal.mrc:D2 trpv1.mrc:C4
    --snr 0.4 0.1 0.05 --seeds 2 --folder OUT

The first form simulates images from the map and prints a row for each wrong input and command; the
second refines matched images from poses 4° and 0.5 px off. The network, if there is one, must have
been trained on the map.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.iterate.config import IterateConfig
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.errors import CryoposesError
from cryoposes_plugin.core.fourier.resampling import projected_density
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.alignment import turned
from cryoposes_plugin.core.types import ParticleTable, Volume

#: What each case must be called; an error may name it too.
EXPECTED = {
    "matched": ("belong",),
    "shuffled poses": ("wrong poses",),
    "useless network": ("wrong poses",),
    "turned by 90°": ("other frame",),
    "turned by an odd rotation": ("other frame",),
    "moved by a tenth of the box": ("other frame",),
    "scaled by 0.85": ("other scale",),
    "scaled by 1.15": ("other scale",),
    "flipped along x": ("other hand",),
    "flipped along y": ("other hand",),
    "flipped along z": ("other hand",),
    "relative": ("related map", "error: nothing in common"),
    "unrelated": ("other map", "error: nothing in common"),
    "contrast inverted": ("error: contrast",),
    "all angles zero": ("error: angles",),
}
COMMANDS = ("refine", "infer", "iterate", "iterate --model")
#: Cases that concern the poses of the particles, which a network does not use.
OF_POSES = ("shuffled poses", "all angles zero")
TURN_90 = Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix()
TURN = Rotation.from_euler("ZYZ", [33, 71, 12], degrees=True).as_matrix()


def main() -> None:
    arguments = parse()
    print("| case | command | verdict | right | explained | wrong poses | s |")
    print("|---|---|---|---|---|---|---|")
    if arguments.matched:
        matched(arguments)
    else:
        wrong(arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", help="Volume (MRC) that the images are made of.")
    parser.add_argument("--relative", help="Volume (MRC) of a related particle.")
    parser.add_argument("--unrelated", help="Volume (MRC) of another particle.")
    parser.add_argument("--model", help="Network trained on the map, for `infer`.")
    parser.add_argument(
        "--start-model", help="Network trained on the map at 40 Å, for `iterate --model`."
    )
    parser.add_argument("--matched", nargs="+", help="Volumes, with :SYMMETRY behind a name.")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--commands", nargs="+", default=COMMANDS, choices=COMMANDS)
    parser.add_argument(
        "--cases",
        nargs="+",
        default=list(EXPECTED),
        help="Those of the default, and any 'scaled by X'.",
    )
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    return parser.parse_args()


def matched(arguments: argparse.Namespace) -> None:
    for name in arguments.matched:
        path, _, symmetry = name.partition(":")
        for snr in arguments.snr:
            for seed in range(arguments.seeds):
                folder = arguments.folder / f"{Path(path).stem}_{snr:g}_{seed}"
                true = simulated(path, snr, seed, arguments.number, folder)
                config = RefineConfig(
                    particles=saved(near(true, seed), folder / "near.star"),
                    volume=path,
                    symmetry=symmetry or "C1",
                    threads=arguments.threads,
                )
                case = f"{Path(path).stem}, SNR {snr:g}, seed {seed}"
                report(case, "refine", config, folder / "refine", EXPECTED["matched"])


def wrong(arguments: argparse.Namespace) -> None:
    for snr in arguments.snr:
        for seed in range(arguments.seeds):
            folder = arguments.folder / f"snr{snr:g}_{seed}"
            true = simulated(arguments.map, snr, seed, arguments.number, folder)
            for case in arguments.cases:
                for command in arguments.commands:
                    wrong_input(case, command, true, arguments, folder)


def wrong_input(case, command, true, arguments, folder):
    """Run a command on a wrong input and print its row, where both apply."""
    volume = volume_of(case, arguments, folder)
    config = volume and config_of(command, case, volume, true, arguments, folder)
    if not config:
        return
    expected = EXPECTED["scaled by 0.85" if case.startswith("scaled") else case]
    if case == "useless network" and command == "infer":
        # `infer` searches for the poses that a useless network does not know.
        expected = ("belong",)
    run = folder / f"{command}_{case}".replace(" ", "_")
    report(f"{case}, {folder.name}", command, config, run, expected)


def report(case: str, command: str, config, folder: Path, expected: tuple) -> None:
    """Run the command and print its row."""
    started = time.time()
    try:
        metrics = run_command(config, str(folder))
        verdict, frame = metrics.get("verdict"), metrics.get("frame", {})
        verdict = verdict or named(str(metrics.get("not_refined")))
    except CryoposesError as error:
        verdict, frame = named(str(error)), {}
    numbers = (frame.get("explained_share"), frame.get("share_of_wrong_poses"))
    cells = [f"{number:.2f}" if number is not None else "" for number in numbers]
    told = "yes" if verdict.startswith(expected) else "NO"
    seconds = f"{time.time() - started:.0f}"
    print("| " + " | ".join([case, command, verdict, told, *cells, seconds]) + " |", flush=True)


def named(error: str) -> str:
    """What an error is about."""
    if "contrasts are opposite" in error:
        return "error: contrast"
    if "nothing in common" in error:
        return "error: nothing in common" + (", not shown" if "do not show" in error else "")
    if "never aligned" in error:
        return "error: angles"
    return f"error: {error[:100]}"


def simulated(path: str, snr: float, seed: int, number: int, folder: Path) -> ParticleTable:
    output = folder / "simulated"
    run_command(SimulateConfig(volume=(path,), number=number, snr=snr, seed=seed), str(output))
    return read_particles(str(output / "particles.star"), require=("poses",))


def near(true: ParticleTable, seed: int) -> ParticleTable:
    """Poses 4° and 0.5 px off."""
    rng = np.random.default_rng(seed)
    vectors = np.deg2rad(4) / 3**0.5 * rng.standard_normal((len(true), 3))
    return true.replace(
        rotations=Rotation.from_rotvec(vectors).as_matrix() @ true.rotations,
        shifts_px=true.shifts_px + 0.5 * rng.standard_normal((len(true), 2)),
    )


def saved(table: ParticleTable, path: Path) -> str:
    write_particles(path, table)
    return str(path)


def volume_of(case: str, arguments: argparse.Namespace, folder: Path):
    """Path of the volume that is given in a case; None where there is none."""
    if case in ("relative", "unrelated"):
        return getattr(arguments, case)
    volume = read_volume(arguments.map)
    box, pixel = volume.box_size_px, volume.pixel_size_angstrom
    data, word = volume.data, case.split()
    if case == "turned by 90°":
        data = turned(data, TURN_90, np.zeros(3), order=3)
    elif case == "turned by an odd rotation":
        data = turned(data, TURN, np.zeros(3), order=3)
    elif case == "moved by a tenth of the box":
        data = turned(data, np.eye(3), np.full(3, 0.1 * box / 3**0.5), order=3)
    elif word[0] == "scaled":
        data = projected_density(Volume(data, float(word[2]) * pixel), box, pixel)
    elif word[0] == "flipped":
        axis = "zyx".index(word[2])
        data = np.roll(np.flip(data, axis), 1 - box % 2, axis)
    elif case == "contrast inverted":
        data = -data
    path = folder / f"{case.replace(' ', '_')}.mrc"
    write_volume(path, np.ascontiguousarray(data, dtype=np.float32), pixel)
    return str(path)


def config_of(command, case, volume, true, arguments, folder):
    """The command's options in a case; None where it does not apply."""
    simulated_star = str(folder / "simulated" / "particles.star")
    if command == "infer":
        model = useless(arguments, folder) if case == "useless network" else arguments.model
        if model is None or case in OF_POSES:
            return None
        return InferConfig(
            model=str(model), particles=simulated_star, volume=volume, threads=arguments.threads
        )

    if command == "iterate --model":
        if arguments.start_model is None or case in (*OF_POSES, "useless network"):
            return None
        return IterateConfig(
            model=arguments.start_model,
            particles=simulated_star,
            volume=volume,
            rounds=1,
            threads=arguments.threads,
        )

    table = near(true, 0)
    if case == "shuffled poses":
        mixed = np.random.default_rng(0).permutation(len(true))
        table = table.replace(rotations=table.rotations[mixed])
    elif case == "all angles zero":
        table = table.replace(rotations=np.tile(np.eye(3), (len(true), 1, 1)))
    elif case == "useless network":
        config = InferConfig(model=str(useless(arguments, folder)), particles=simulated_star)
        run_command(config, str(folder / "network_alone"))
        table = read_particles(str(folder / "network_alone" / "particles.star"))
    star = saved(table, folder / f"{command}_{case.replace(' ', '_')}.star")
    if command == "refine":
        return RefineConfig(particles=star, volume=volume, threads=arguments.threads)
    return IterateConfig(particles=star, volume=volume, rounds=1, threads=arguments.threads)


def useless(arguments: argparse.Namespace, folder: Path) -> Path:
    """A network after three steps of training."""
    like = str(folder / "simulated" / "particles.star")
    run_command(TrainConfig(volume=(arguments.map,), like=like, steps=3), str(folder / "useless"))
    return folder / "useless" / "model"


if __name__ == "__main__":
    main()
