"""Open and photograph Scipion's windows: the project, and every form, viewer and wizard of this
plugin.

    make demo
    xvfb-run -s "-screen 0 1600x1000x24" .venv/bin/python -O docs/screenshots.py demo-output demo
    docs/images/gui

Arguments: the folder that `make demo` wrote, the name of the project in it, and the folder for the
pictures. In docs/images/gui only those pictures are kept that a page shows; elsewhere, all. The
protocols that the demo leaves out are run first, which takes some minutes. A display (Xvfb will do)
and ImageMagick's `import` are needed. The exit status is 1 if a window raised an exception or had
nothing to show.
"""

import logging
import os
import re
import subprocess
import sys
import sysconfig
import time
import tkinter
import traceback
from pathlib import Path
from tkinter import ttk

from cryoposes_plugin.core.scores import JUNK, RANKING

_SETTLE_SECONDS = 0.6
DOCS = Path(__file__).resolve().parent
failures = []
FORMS = {}  # Tk window -> Scipion's FormWindow


def main(folder: Path, project_name: str, target: Path) -> int:
    prepare_environment(folder)
    sys.stderr = WatchedStream(sys.stderr)
    logging.getLogger("cryoposes_plugin.scipion.figure_window").addHandler(NothingShown())
    target.mkdir(parents=True, exist_ok=True)
    tkinter.Misc.mainloop = lambda self, n=0: None  # this script turns the loop
    tkinter.Misc.wait_window = lambda self, window=None: None
    tkinter.Tk.report_callback_exception = staticmethod(note_exception)
    from pwem import Domain
    from pyworkflow.gui.project.project import ProjectWindow  # isort: skip - before its parts
    from pyworkflow.gui import form as form_module
    from pyworkflow.project import Manager

    remember_forms(form_module.FormWindow)
    run_what_the_demo_leaves_out(Manager().loadProject(project_name))
    window = ProjectWindow(Manager().getProjectPath(project_name))
    window.show()
    widget = window.getViewWidget()
    window.root.geometry("1600x1000+0+0")
    photograph(window.root, target / "project.png", whole_screen=True, seconds=3)
    runs = different_runs(window.project)
    for name, protocol in runs.items():
        tour_form(window, widget, protocol, target / f"form_{name}")
        tour_viewer(window, Domain, protocol, target / f"viewer_{name}")
        tour_outputs(window, Domain, protocol, target)
    report(
        f"{len(runs)} runs, {len(list(target.glob('*.png')))} pictures, {len(failures)} failures"
    )
    os._exit(1 if failures else 0)  # Scipion's server thread would keep the process


def prepare_environment(folder: Path) -> None:
    """What `python -m scipion` sets, for the Scipion home that the demo made."""
    os.environ.update(
        SCIPION_HOME=str(folder.resolve() / "scipion"),
        SCIPION_USER_DATA=str(folder.resolve()),
        SCIPION_DOMAIN="pwem",
        SCIPION_HOSTS=str(
            Path(sysconfig.get_paths()["purelib"]) / "scipion/templates/hosts.template"
        ),
        SCIPION_PYTHON=sys.executable,
        SCIPION_NOTIFY="False",
        CUDA_VISIBLE_DEVICES="",
    )


def run_what_the_demo_leaves_out(project) -> None:
    """Once each, on the demo's map, particles and estimated poses."""
    from cryoposes_plugin import protocols as ours
    from cryoposes_plugin.commands.train.config import TrainConfig

    distance = TrainConfig.__dataclass_fields__["preset"].metadata["choices"].index("distance")
    the_map, simulated = ("import map", "outputVolume"), ("simulate particles", "outputParticles")
    estimated, distances = (
        ("estimate poses", "outputParticles"),
        ("train for distances", "outputModel"),
    )
    to_refine = {"inputParticles": estimated, "inputVolume": the_map}
    to_recover = {"inputParticles": simulated, "inputModel": distances, "inputTruth": simulated}
    for label, protocol_class, pointers, values in (
        ("refine", ours.ProtCryoposesRefine, to_refine, {}),
        ("refine and reconstruct", ours.ProtCryoposesIterate, to_refine, {"rounds": 3}),
        (
            "initial volume",
            ours.ProtCryoposesInitialVolume,
            {"inputParticles": simulated},
            {"starts": 2, "searchParticles": 300, "rounds": 2},
        ),
        (
            "coarse initial volume",
            ours.ProtCryoposesInitialVolume,
            {"inputParticles": simulated},
            {"starts": 1, "searchParticles": 300, "rounds": 0},
        ),
        (
            "train for distances",
            ours.ProtCryoposesTrain,
            {"inputVolumes": the_map, "inputLike": simulated},
            {"preset": distance, "minutes": 1.5, "seed": 1},
        ),
        ("recover", ours.ProtCryoposesRecover, to_recover, {}),
        (
            "recover with the volume",
            ours.ProtCryoposesRecover,
            {**to_recover, "inputVolume": the_map},
            {},
        ),
    ):
        run_once(project, label, protocol_class, pointers, values)
    project.closeMapper()


def run_once(project, label: str, protocol_class, pointers: dict, values: dict) -> None:
    """`pointers`: parameter -> (label of the run that it points to, name of its output)."""
    runs = {run.getObjLabel(): run for run in project.getRuns()}
    if label in runs:
        return
    report(f"running '{label}'")
    protocol = project.newProtocol(protocol_class, **values)
    protocol.setObjLabel(label)
    for name, (source, output) in pointers.items():
        parameter = getattr(protocol, name)
        if parameter.isPointer():
            parameter.set(runs[source])
            parameter.setExtended(output)
        else:
            parameter.set([getattr(runs[source], output)])
    project.launchProtocol(protocol, wait=True)
    if not protocol.isFinished():
        sys.exit(f"'{label}' {protocol.getStatus()}: {protocol.getErrorMessage()}")


def different_runs(project) -> dict:
    """Name for the pictures -> run, oldest first: of each protocol one run for each list of
    pictures that it has.
    """
    from cryoposes_plugin.commands.pictures import pictures_of

    found, seen = {}, set()
    for protocol in sorted(project.getRuns(), key=lambda run: run.getObjId()):
        if not protocol.getClassName().startswith("ProtCryoposes"):
            continue
        command = protocol.CONFIG.command
        shown = (command, *pictures_of(protocol.shown_run()))
        if shown not in seen:
            number = 1 + sum(command == other for other, *_ in seen)
            found[command if number == 1 else f"{command}{number}"] = protocol
            seen.add(shown)
    return found


def remember_forms(form_class) -> None:
    make = form_class.__init__

    def remembering(self, *args, **kwargs):
        make(self, *args, **kwargs)
        FORMS[self.root] = self

    form_class.__init__ = remembering


def tour_form(window, widget, protocol, stem: Path) -> None:
    """Each tab of the form, then each wizard in it."""
    (form,) = opened(window, lambda: widget._openProtocolForm(protocol))
    notebooks = [w for w in descendants(form) if isinstance(w, ttk.Notebook)]
    tabs = notebooks[0].tabs() if notebooks else [None]
    for number, tab in enumerate(tabs):
        if tab is not None:
            notebooks[0].select(tab)
        suffix = "" if number == 0 else f"_{number + 1}"
        photograph(form, stem.with_name(f"{stem.name}{suffix}.png"))
    tour_wizards(window, form, stem)
    form.destroy()


def tour_wizards(window, form, stem: Path) -> None:
    """The window of each wizard of the form."""
    form_window = FORMS[form]
    if form_window.protocol.CONFIG.command == "filter":
        form_window.setVar("score", RANKING.index(JUNK))
    for name, wizard in form_window.wizards.items():
        if wizard.__name__ == "GridWizard" or form_window.protocol.getParam(name) is None:
            continue  # it has no window, or is for a parameter that the class before this one had
        form_window.wizParamName = name
        for dialog in opened(window, lambda w=wizard: w().show(form_window)):
            photograph(dialog, stem.with_name(f"wizard_{stem.name[5:]}_{name}.png"))
            dialog.destroy()


def tour_viewer(window, domain, protocol, stem: Path) -> None:
    """The run's viewer, and every window that its lines open."""
    viewer = domain.findViewers(protocol, "tkinter")[0](
        project=window.project, protocol=protocol, parent=window
    )
    (form,) = opened(window, lambda: viewer.visualize(protocol, windows=window))
    photograph(form, stem.with_suffix(".png"))
    for name in list(viewer._getVisualizeDict()):
        if name not in ("showReport", "showInChimera") and not name.startswith(
            "showOutput"
        ):  # other programs' windows
            tour_views(
                window,
                lambda name=name: viewer._visualizeParam(name),
                f"{stem.name}_{name[4:]}",
                stem.parent,
            )
    form.destroy()


def tour_outputs(window, domain, protocol, target: Path) -> None:
    """Our viewers of the run's model and volume."""
    from cryoposes_plugin.viewers import CentralSlicesViewer, PoseModelViewer

    for name, output in protocol.iterOutputAttributes():
        for viewer_class in domain.findViewers(output, "tkinter"):
            if viewer_class in (CentralSlicesViewer, PoseModelViewer):
                viewer = viewer_class(project=window.project, protocol=protocol, parent=window)
                tour_views(
                    window, lambda v=viewer, o=output: v.visualize(o), f"output_{name}", target
                )


def tour_views(window, action, stem: str, target: Path) -> None:
    for number, opened_window in enumerate(opened(window, action)):
        suffix = "" if number == 0 else f"_{number + 1}"
        photograph(opened_window, target / f"{stem}{suffix}.png")
        opened_window.destroy()


def opened(window, action):
    """The windows that the action opens."""
    before = set(toplevels(window.root))
    try:
        action()
    except Exception:  # noqa: BLE001 - whatever a window raises is what this script looks for
        note_exception(*sys.exc_info())
    settle(window.root)
    return [w for w in toplevels(window.root) if w not in before and w.winfo_viewable()]


def toplevels(root):
    return [w for w in descendants(root.nametowidget(".")) if isinstance(w, tkinter.Toplevel)]


def descendants(widget):
    for child in widget.winfo_children():
        yield child
        yield from descendants(child)


def photograph(
    window, path: Path, whole_screen: bool = False, seconds: float = _SETTLE_SECONDS
) -> None:
    window.lift()
    settle(window, seconds)
    if path.parent.resolve() == DOCS / "images" / "gui" and path.name not in shown_on_a_page():
        return
    # without a window manager a window has no other name for X than its id
    name = "root" if whole_screen else str(window.winfo_id())
    subprocess.run(["import", "-window", name, str(path)], check=True)
    report(path.name)


def shown_on_a_page() -> set:
    """Names of the pictures of windows that the pages show."""
    pages = (page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    return {name for page in pages for name in re.findall(r"\(images/gui/([^)]+\.png)\)", page)}


def settle(window, seconds: float = _SETTLE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        window.update()
        time.sleep(0.02)


def note_exception(kind, error, trace) -> None:
    traceback.print_exception(kind, error, trace)


class WatchedStream:
    """Standard error that remembers tracebacks: Scipion catches and prints some exceptions itself."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        if "Traceback" in text:
            failures.append(text)
        return self._stream.write(text)

    def __getattr__(self, name):
        return getattr(self._stream, name)


class NothingShown(logging.Handler):
    """A window that holds a sentence instead of its figure is logged with a warning."""

    def emit(self, record) -> None:
        failures.append(record.getMessage())
        report(failures[-1])


def report(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
