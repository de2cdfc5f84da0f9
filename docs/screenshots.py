"""Drives Scipion's windows and photographs them: the project, every form, every viewer, every wizard of this plugin.

    make demo
    xvfb-run -s "-screen 0 1600x1000x24" .venv/bin/python -O docs/screenshots.py demo-output demo docs/images/gui

The arguments: the folder that `make demo` wrote, the project's name in it, where the pictures go. The refinements,
which the demo leaves out, are run first. Needs a display (Xvfb does) and ImageMagick's `import`. Exit status 1 if any
window raised an exception.
"""

import os
import subprocess
import sys
import sysconfig
import time
import tkinter
import traceback
from pathlib import Path
from tkinter import ttk

_SETTLE_SECONDS = 0.6
failures = []
FORMS = {}  # Tk window -> Scipion's FormWindow


def main(folder: Path, project_name: str, target: Path) -> int:
    prepare_environment(folder)
    target.mkdir(parents=True, exist_ok=True)
    tkinter.Misc.mainloop = lambda self, n=0: None  # this script turns the loop
    tkinter.Misc.wait_window = lambda self, window=None: None
    tkinter.Tk.report_callback_exception = staticmethod(note_exception)
    from pwem import Domain
    from pyworkflow.gui.project.project import ProjectWindow  # isort: skip - before its parts: they import each other
    from pyworkflow.gui import form as form_module
    from pyworkflow.project import Manager

    remember_forms(form_module.FormWindow)
    add_refinements(Manager().loadProject(project_name))
    window = ProjectWindow(Manager().getProjectPath(project_name))
    window.show()
    widget = window.getViewWidget()
    photograph(window.root, target / "project.png", whole_screen=True, seconds=3)
    seen = set()
    for protocol in window.project.getRuns():
        if not protocol.getClassName().startswith("ProtCryoposes") or protocol.getClassName() in seen:
            continue
        seen.add(protocol.getClassName())
        command = protocol.CONFIG.command
        tour_form(window, widget, protocol, target / f"form_{command}")
        tour_viewer(window, Domain, protocol, target / f"viewer_{command}")
        tour_outputs(window, Domain, protocol, target)
    report(f"{len(seen)} protocols, {len(list(target.glob('*.png')))} pictures, {len(failures)} exceptions")
    os._exit(1 if failures else 0)  # Scipion's server thread would keep the process


def prepare_environment(folder: Path) -> None:
    """What `python -m scipion` sets, for the Scipion home that the demo made."""
    os.environ.update(
        SCIPION_HOME=str(folder.resolve() / "scipion"),
        SCIPION_USER_DATA=str(folder.resolve()),
        SCIPION_DOMAIN="pwem",
        SCIPION_HOSTS=str(Path(sysconfig.get_paths()["purelib"]) / "scipion/templates/hosts.template"),
        SCIPION_PYTHON=sys.executable,
        SCIPION_NOTIFY="False",
        CUDA_VISIBLE_DEVICES="",
    )


def add_refinements(project) -> None:
    """The two protocols that the demo does without, once: from the estimated poses, against the demo's map."""
    from cryoposes_plugin.protocols import ProtCryoposesIterate, ProtCryoposesRefine

    runs = {run.getObjLabel(): run for run in project.getRuns()}
    for label, protocol_class, values in (
        ("refine", ProtCryoposesRefine, {}),
        ("refine and reconstruct", ProtCryoposesIterate, {"rounds": 3}),
    ):
        if label in runs:
            continue
        report(f"running '{label}'")
        protocol = project.newProtocol(protocol_class, **values)
        protocol.setObjLabel(label)
        for name, source, output in (
            ("inputParticles", "estimate poses", "outputParticles"),
            ("inputVolume", "import map", "outputVolume"),
        ):
            getattr(protocol, name).set(runs[source])
            getattr(protocol, name).setExtended(output)
        project.launchProtocol(protocol, wait=True)
        if not protocol.isFinished():
            sys.exit(f"'{label}' {protocol.getStatus()}: {protocol.getErrorMessage()}")
    project.closeMapper()


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
    for name, wizard in form_window.wizards.items():
        if wizard.__name__ == "GridWizard":
            continue  # it has no window
        form_window.wizParamName = name
        for dialog in opened(window, lambda w=wizard: w().show(form_window)):
            photograph(dialog, stem.with_name(f"wizard_{stem.name[5:]}_{name}.png"))
            dialog.destroy()


def tour_viewer(window, domain, protocol, stem: Path) -> None:
    """The run's viewer, and every window that its lines open."""
    viewer = domain.findViewers(protocol, "tkinter")[0](project=window.project, protocol=protocol, parent=window)
    (form,) = opened(window, lambda: viewer.visualize(protocol, windows=window))
    photograph(form, stem.with_suffix(".png"))
    for name in list(viewer._getVisualizeDict()):
        if name not in ("showReport", "showInChimera") and not name.startswith("showOutput"):  # other programs' windows
            tour_views(window, lambda name=name: viewer._visualizeParam(name), f"{stem.name}_{name[4:]}", stem.parent)
    form.destroy()


def tour_outputs(window, domain, protocol, target: Path) -> None:
    """Our viewers of the run's model and volume."""
    from cryoposes_plugin.viewers import CentralSlicesViewer, PoseModelViewer

    for name, output in protocol.iterOutputAttributes():
        for viewer_class in domain.findViewers(output, "tkinter"):
            if viewer_class in (CentralSlicesViewer, PoseModelViewer):
                viewer = viewer_class(project=window.project, protocol=protocol, parent=window)
                tour_views(window, lambda v=viewer, o=output: v.visualize(o), f"output_{name}", target)


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


def photograph(window, path: Path, whole_screen: bool = False, seconds: float = _SETTLE_SECONDS) -> None:
    window.lift()
    settle(window, seconds)
    # without a window manager a window has no other name for X than its id
    name = "root" if whole_screen else str(window.winfo_id())
    subprocess.run(["import", "-window", name, str(path)], check=True)
    report(path.name)


def settle(window, seconds: float = _SETTLE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        window.update()
        time.sleep(0.02)


def note_exception(kind, error, trace) -> None:
    failures.append(error)
    traceback.print_exception(kind, error, trace)


def report(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
