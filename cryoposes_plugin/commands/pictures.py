"""The pictures of any run, drawn from the files in its folder, for viewers and reports. Only the
folder is needed, so a run can be viewed while it is running, and later on another machine.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from matplotlib.figure import Figure

from ..core.errors import CryoposesError
from ..core.io.error_log import not_fatal
from ..core.io.names import CONFIG_NAME, REPORT_NAME
from ..core.io.state_files import read_json
from .config import Config
from .drawing import Picture, saved_picture
from .registry import CONFIGS, pictures_module
from .report import append_figures, holds_figure

logger = logging.getLogger(__name__)


def pictures_of(folder) -> Dict[str, Picture]:
    """Name -> picture of the run in this folder, in the order in which they are best viewed.

    Pictures that the run saved and that cannot be drawn from its files alone are shown as saved.
    """
    folder = Path(folder)
    config = read_config(folder)
    if config is None:
        return {}

    module = pictures_module(config.command)
    titles = getattr(module, "SAVED_TITLES", {})
    found = module.pictures(folder, config)

    for path in sorted(folder.glob("*.png")):
        saved = partial(saved_picture, path)
        drawn = found.get(path.stem)
        if drawn is None:
            title = path.stem.replace("_", " ")
            title = titles.get(path.stem, title[:1].upper() + title[1:])
            found[path.stem] = Picture(title, saved)
        else:
            found[path.stem] = drawn._replace(draw=partial(_drawn_or_saved, drawn.draw, saved))
    return found


def _drawn_or_saved(draw: Callable[[], Figure], saved: Callable[[], Figure]) -> Figure:
    """The files that a picture is drawn from may be gone: converted images are not kept."""
    try:
        return draw()
    except CryoposesError:
        return saved()


def read_config(folder) -> Optional[Config]:
    """The config of the run in this folder; None where there is no run of a known command."""
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        return None
    saved = read_json(path, "delete the folder of this run")
    config_class = CONFIGS.get(str(saved.get("command")))
    return None if config_class is None else config_class.from_dict(saved)


def complete_report(folder, leave_out: Sequence[str] = ()) -> List[str]:
    """Add to the run's report the pictures that it does not have yet; returns their names.

    A picture that cannot be drawn (if images have moved, say) is left out with a warning: the
    results stand.
    """
    folder = Path(folder)
    if not (folder / REPORT_NAME).exists():
        return []

    figures, page = {}, (folder / REPORT_NAME).read_text(encoding="utf-8")
    for name, picture in pictures_of(folder).items():
        if name in leave_out or holds_figure(page, name):
            continue
        with not_fatal(folder, f"the picture '{picture.title}'"):
            try:
                figures[name] = (f"{picture.title}.", picture.draw())
            except CryoposesError as error:
                logger.warning("The report lacks the picture '%s': %s", picture.title, error)
    append_figures(folder, figures)
    return list(figures)
