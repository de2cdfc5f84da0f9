"""The ablations of Chung 2023 (table 1) in small: one choice of the convolutional encoder changed
at a time.

    python benchmarks/ablations.py --map MAP [--box 16 --steps 500] [--only representation pooling]

Projections of the map, centred, without CTF, are simulated on the fly; every network is trained for
the same number of steps, as many as the unchanged one makes in the time, and tested on the same
images that it never saw. Prints median angular errors. The paper's dropout and weight decay are for
hours of training: in minutes nothing is learned with them (`--dropout 0.3 --l2 1e-3`), and the
table is without.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

from cryoposes_plugin.commands.run_directory import RunDirectory
from cryoposes_plugin.commands.train import run as train
from cryoposes_plugin.commands.train.config import TrainConfig

#: The choice changed, its values; the first of each is that of the preset.
ABLATIONS = {
    "representation": [
        dict(representation=name)
        for name in ("bingham10", "gram-schmidt6", "quaternion", "svd9", "axis-angle")
    ],
    "likelihood": [
        dict(loss="geodesic"),
        dict(loss="bingham"),
        dict(representation="svd9", loss="matrix-fisher"),
    ],
    "training style": [
        dict(training_style=name) for name in ("siamese+auxiliary", "siamese", "single")
    ],
    "blurring layer": [dict(filter_bank=name) for name in ("low-pass", "gaussian", "none")],
    "pooling": [
        dict(pooling=name) for name in ("generalised-mean", "max", "max+average", "average")
    ],
    "hypotheses": [dict(heads=number) for number in (1, 4)],
}


def median_error_deg(config: TrainConfig) -> tuple:
    """(validation median, steps made) of a training run that leaves nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.open(Path(folder) / "run", config)
        metrics = train.run(config, run)
    return metrics["validation"]["median_error_deg"], metrics["steps"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--map", type=Path, required=True)
    parser.add_argument("--box", type=int, default=16, help="box at which the networks work, px")
    parser.add_argument("--snr", type=float, default=float("inf"))
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--l2", type=float, default=1e-5)
    parser.add_argument(
        "--minutes",
        type=float,
        default=1.0,
        help="of the first training; the others take its steps",
    )
    parser.add_argument("--steps", type=int, help="steps of every training, instead of minutes")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=[name.replace(" ", "-") for name in ABLATIONS])
    arguments = parser.parse_args()
    config = TrainConfig(
        volume=(str(arguments.map),),
        preset="cryoforum2023",
        snr=arguments.snr,
        ctf=False,
        shift_distribution="none",
        dropout=arguments.dropout,
        l2=arguments.l2,
        model_box_size_px=arguments.box,
        batch_size=arguments.batch,
        minutes=arguments.minutes,
        steps=arguments.steps,
        validation_number=500,
        seed=arguments.seed,
    )
    reference, steps = median_error_deg(config)
    config = dataclasses.replace(config, steps=steps)
    print(
        f"{arguments.map.name}, {arguments.box} px, SNR {arguments.snr:g}, {steps} steps of "
        f"{arguments.batch} images"
    )
    print(f"{'changed':16} {'to':32} {'median error, degrees':>22}")
    for name, values in ABLATIONS.items():
        if arguments.only and name.replace(" ", "-") not in arguments.only:
            continue
        for index, changes in enumerate(values):
            error = (
                reference
                if index == 0
                else median_error_deg(dataclasses.replace(config, **changes))[0]
            )
            print(f"{name:16} {', '.join(map(str, changes.values())):32} {error:22.1f}", flush=True)


if __name__ == "__main__":
    main()
