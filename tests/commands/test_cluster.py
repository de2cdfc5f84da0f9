"""The processes of a training, as TF_CONFIG and Slurm describe them."""

import json

import pytest

from cryoposes_plugin.commands.train.cluster import cluster_of, host_names
from cryoposes_plugin.core.errors import ConfigError

CLUSTER = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}


def tensorflow(cluster, kind, index):
    text = json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})
    return {"TF_CONFIG": text}


def slurm(place, nodes="gpu[9-10],big", tasks="1(x2),2"):
    return {
        "SLURM_JOB_ID": "4801",
        "SLURM_PROCID": place,
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
    }


def test_the_chief_of_tf_config_comes_first():
    assert cluster_of(tensorflow(CLUSTER, "worker", 1)) == (("a:1", "b:2", "c:3"), 2)


def test_processes_of_slurm_keep_the_order_of_its_nodes():
    """Job 4801 is the second of 1,200, and so has the ports from 20010 on."""
    addresses = ("gpu9:20010", "gpu10:20010", "big:20010", "big:20011")
    assert cluster_of(slurm("3")) == (addresses, 3)


@pytest.mark.parametrize("nodes", ["a", "n[1-3,7]", "n[08-11],m2"])
def test_short_lists_of_hosts_are_read_as_by_tensorflow(nodes):
    resolver = pytest.importorskip(
        "tensorflow.python.distribute.cluster_resolver.slurm_cluster_resolver"
    )
    assert host_names(nodes) == resolver.expand_hostlist(nodes)


def test_short_lists_may_go_on_behind_the_numbers():
    assert host_names("r[1-2]n[3-4],x-[1,3]-ib") == [
        *("r1n3", "r1n4", "r2n3", "r2n4", "x-1-ib", "x-3-ib")
    ]


@pytest.mark.parametrize(
    "environment, sentence",
    [
        ({}, "not started by srun"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG"),
        ({"TF_CONFIG": "{}"}, "has no object 'cluster'"),
        (tensorflow({"ps": ["a:1"]}, "ps", 0), "has 'ps' in its cluster"),
        (tensorflow({"worker": "a:1"}, "worker", 0), "no list of addresses"),
        (tensorflow({"worker": ["a"]}, "worker", 0), "has the address 'a'"),
        (tensorflow(CLUSTER, "worker", 2), "is 'worker' 2, which is not listed"),
        (slurm("4"), "describe 4 processes"),
        (slurm("0", tasks="1(x2)"), "SLURM_STEP_TASKS_PER_NODE"),
        (slurm(""), "start the program with srun"),
    ],
)
def test_what_does_not_describe_a_cluster_is_one_sentence(environment, sentence):
    with pytest.raises(ConfigError, match=sentence.replace("(", "\\(")) as error:
        cluster_of(environment)
    assert "; " in str(error.value)
