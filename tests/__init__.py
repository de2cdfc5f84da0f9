"""Run by pytest, all but `scipion.test_workflow`, which Scipion's own command `tests` finds as
well.
"""


def load_tests(loader, tests, pattern):
    """What unittest finds here: it need not look into the modules that want pytest."""
    from .scipion import test_workflow

    return loader.loadTestsFromModule(test_workflow)
