"""The public names of the rooms: each can be imported, and asking for none of them loads no
TensorFlow.
"""

import importlib
import subprocess
import sys

import pytest

ROOMS = ("networks", "models", "training")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_there(room):
    module = importlib.import_module(f"cryoposes_plugin.core.{room}")
    assert dir(module)
    for name in dir(module):
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(module, "nothing")  # noqa: B009


def test_choices_and_recipes_load_no_tensorflow():
    modules = ("networks.choices", "training.recipe", "training.history")
    lines = [f"import cryoposes_plugin.core.{module}" for module in modules]
    lines += ["import cryoposes_plugin.commands.registry", "import sys"]
    lines += ["sys.exit('tensorflow' in sys.modules)"]
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)]).returncode == 0
