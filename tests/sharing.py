"""How the tests are shared out among processes: those of a file stay together, and the longest
files come first.

xdist's own groups are suffixes of the tests' names, which pytest does not take from 9.2 on.
"""

from xdist.scheduler import LoadScopeScheduling

#: These use the runs of one Scipion project, one after the other.
_TOUR = {
    f"tests/scipion/test_{name}.py"
    for name in ("chaining", "protocols", "recover_protocol", "refinement_protocols", "streaming")
}
#: Longest first, so that no process is left with one of them at the end.
_LONGEST = (
    "tour",
    "tests/scipion/test_kill_and_continue.py",
    "tests/commands/test_training.py",
    "tests/commands/test_simulate.py",
    "tests/commands/test_train.py",
    "tests/commands/test_infer.py",
    "tests/scipion/test_workflow.py",
    "tests/commands/test_refine.py",
)


def group_of(nodeid: str) -> str:
    path = nodeid.split("::")[0]
    return "tour" if path in _TOUR else path


def rank(nodeid: str) -> int:
    group = group_of(nodeid)
    return _LONGEST.index(group) if group in _LONGEST else len(_LONGEST)


class FilesTogether(LoadScopeScheduling):
    def __init__(self, config, log=None):
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
