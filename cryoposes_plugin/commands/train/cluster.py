"""The processes that train one network together, as TF_CONFIG or Slurm describe them."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

from ...core.errors import ConfigError
from ...core.values import parse_object, shown

_SLURM_NAMES = ("JOB_ID", "PROCID", "STEP_NODELIST", "STEP_TASKS_PER_NODE")
#: Processes listen on these ports of their machine: which, follows from the number of the job.
_FIRST_PORT, _PORTS, _PER_JOB = 20000, 1200, 10
_SHAPE = (
    'give {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}} with '
    "the place of this process as its index"
)


class Cluster(NamedTuple):
    """The processes that train together.

    addresses : host:port of each; the first is the chief. place : of this process, from 0.
    """

    addresses: Tuple[str, ...]
    place: int


def cluster_of(environment: Mapping[str, str]) -> Cluster:
    """The processes that environment variables describe; ConfigError for none."""
    if environment.get("TF_CONFIG"):
        return _of_tensorflow(environment["TF_CONFIG"])
    if "SLURM_STEP_NODELIST" in environment:
        return _of_slurm(environment)
    raise ConfigError(
        "train: --distribute is 'workers', but the program was not started by srun, and TF_CONFIG "
        "is not set; start it with srun, or set TF_CONFIG."
    )


def _of_tensorflow(text: str) -> Cluster:
    config = parse_object(text, "train: TF_CONFIG", error=ConfigError)
    cluster, task = _part(config, "cluster"), _part(config, "task")
    for kind in cluster:
        if kind not in ("chief", "worker"):
            raise _bad(f"has {shown(kind)} in its cluster, which training does not know")

    addresses: List[str] = []
    places: Dict[Tuple[str, int], int] = {}
    for kind in ("chief", "worker"):
        members = cluster.get(kind, [])
        if not isinstance(members, list):
            raise _bad(f"has no list of addresses as its {kind}s")
        for index, address in enumerate(members):
            if not isinstance(address, str) or not re.fullmatch(r".+:\d{1,5}", address):
                raise _bad(f"has the address {shown(address)}")
            places[kind, index] = len(addresses)
            addresses.append(address)

    name, place = task.get("type"), task.get("index")
    if not isinstance(name, str) or not isinstance(place, int) or (name, place) not in places:
        raise _bad(f"says that this process is {shown(name)} {shown(place)}, which is not listed")
    return Cluster(tuple(addresses), places[name, place])


def _part(config: Dict[str, Any], name: str) -> Dict[str, Any]:
    part = config.get(name)
    if not isinstance(part, dict):
        raise _bad(f"has no object {name!r}")
    return part


def _bad(what: str) -> ConfigError:
    return ConfigError(f"train: TF_CONFIG {what}; {_SHAPE}.")


def _of_slurm(environment: Mapping[str, str]) -> Cluster:
    job, place, nodes, tasks = (environment.get(f"SLURM_{name}", "") for name in _SLURM_NAMES)
    if not job.isdigit() or not place.isdigit():
        raise ConfigError(
            f"train: SLURM_JOB_ID is {shown(job)} and SLURM_PROCID {shown(place)}; start the "
            "program with srun."
        )

    first = _FIRST_PORT + int(job) % _PORTS * _PER_JOB
    hosts, numbers = host_names(nodes), _tasks_per_node(tasks)
    addresses = [
        f"{host}:{first + k}" for host, number in zip(hosts, numbers) for k in range(number)
    ]
    if len(hosts) != len(numbers) or int(place) >= len(addresses):
        raise ConfigError(
            f"train: SLURM_PROCID is {place}, but SLURM_STEP_NODELIST ({shown(nodes)}) and "
            f"SLURM_STEP_TASKS_PER_NODE ({shown(tasks)}) describe {len(addresses)} processes; "
            "start the program with srun."
        )
    return Cluster(tuple(addresses), int(place))


def host_names(nodes: str) -> List[str]:
    """The hosts of Slurm's short list, in its order: "gpu[08-10,3],b" -> gpu08, gpu09, gpu10, gpu3,
    b.
    """
    names: List[str] = []
    for entry in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes):
        made = [""]
        for text, inside in re.findall(r"([^\[]+)|\[([^\]]*)\]", entry):
            parts = [text] if text else [n for part in inside.split(",") for n in _numbers(part)]
            made = [name + part for name in made for part in parts]
        names += made
    return names


def _numbers(part: str) -> List[str]:
    """ "08-10" -> 08, 09, 10."""
    first, _, last = part.partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        return [part]
    return [str(n).zfill(len(first)) for n in range(int(first), int(last or first) + 1)]


def _tasks_per_node(text: str) -> List[int]:
    """ "2(x3),1" -> 2, 2, 2, 1."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(number) for number, times in found for _ in range(int(times or 1))]
