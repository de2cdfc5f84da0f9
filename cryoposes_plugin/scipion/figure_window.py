"""Figures in windows of Scipion, with zoom and save, updated while a run is working."""

from __future__ import annotations

import logging
import re
from typing import Callable, Optional, Sequence

from pyworkflow.viewer import View

from cryoposes_plugin.core.errors import CryoposesError

logger = logging.getLogger(__name__)

_LIVE_MILLISECONDS = 5000
_DOTS_PER_INCH = 100


class FigureView(View):
    """Opens a window with the figure that `draw` returns; if `live`, it is updated regularly."""

    def __init__(self, title: str, draw: Callable, parent=None, live: bool = False):
        self.title, self.draw, self.parent, self.live = title, draw, parent, live

    def show(self):
        window = FigureWindow(self.title, self.draw, self.parent)
        if self.live:
            window.keep_drawing()
        window.show()


class FigureWindow:
    """A Tk window with a figure and the toolbar of matplotlib."""

    def __init__(self, title: str, draw: Callable, parent=None):
        import pyworkflow.gui as gui

        self._draw, self._parent = draw, parent
        self._window = gui.Window(title, parent, minsize=(300, 200))
        self.root = self._window.root
        self._canvas = None
        self._frame = None
        self.redraw()

    def redraw(self) -> None:
        """Replace the drawing by a new one, or by a message if there is nothing to draw yet."""
        figure = figure_or_sentence(self._draw)
        if self._canvas is None:
            self._make_canvas(figure)
        else:
            figure.set_dpi(self._canvas.figure.get_dpi())
            figure.set_size_inches(self._canvas.figure.get_size_inches())
            self._canvas.figure = figure
            figure.set_canvas(self._canvas)
            self._canvas.draw()

    def _make_canvas(self, figure) -> None:
        import tkinter

        from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg, NavigationToolbar2Tk

        width_px, height_px = figure.get_size_inches() * _DOTS_PER_INCH
        fits = min(
            1.0,
            0.8 * self.root.winfo_screenwidth() / width_px,
            0.8 * self.root.winfo_screenheight() / height_px,
        )
        figure.set_dpi(_DOTS_PER_INCH * fits)
        self._frame = tkinter.Frame(self.root, background="white")
        self._frame.grid(row=0, column=0, sticky="news")
        self._canvas = FigureCanvasTkAgg(figure, master=self._frame)
        NavigationToolbar2Tk(self._canvas, self._frame).pack(side="bottom", fill="x")
        self._canvas.get_tk_widget().pack(side="top", fill="both", expand=True)
        self._canvas.draw()

    def keep_drawing(self) -> None:
        if self.root.winfo_exists():
            self.root.after(_LIVE_MILLISECONDS, self._draw_again)

    def _draw_again(self) -> None:
        if self.root.winfo_exists():
            self.redraw()
            self.keep_drawing()

    def show(self) -> None:
        """Show the window. Without a parent it also runs the event loop of Tk."""
        import pyworkflow.gui as gui

        if self._parent is None:
            self._window.show()
        else:
            gui.centerWindows(self.root, refWindows=self._parent.getRoot())
            keep_on_screen(self.root)
            self.root.deiconify()


def keep_on_screen(window) -> None:
    """Move a window that extends beyond the left or the upper edge of the screen."""
    window.update_idletasks()
    x, y = map(int, re.search(r"\+(-?\d+)\+(-?\d+)$", window.geometry()).groups())
    window.geometry(f"+{max(x, 0)}+{max(y, 0)}")


class SliderWindow(FigureWindow):
    """A figure with buttons for a choice and a slider for a number from 0 to `count` - 1.

    draw(choice, number) returns the figure.
    """

    def __init__(self, title: str, draw: Callable, choices: Sequence[str], count: int, parent=None):
        import tkinter

        self._choice: Optional[str] = choices[-1]
        self._number = count // 2
        super().__init__(title, lambda: draw(self._choice, self._number), parent)
        bar = tkinter.Frame(self._frame, background="white")
        bar.pack(side="bottom", fill="x")
        chosen = tkinter.StringVar(self.root, self._choice)
        slider = tkinter.Scale(
            bar, from_=0, to=count - 1, orient="horizontal", label="slice", showvalue=False
        )
        slider.set(self._number)

        def changed(*_):
            self._choice, self._number = chosen.get(), int(slider.get())
            self.redraw()

        for choice in choices:
            button = tkinter.Radiobutton(
                bar, text=f"along {choice}", variable=chosen, value=choice, command=changed
            )
            button.configure(background="white", highlightthickness=0)
            button.pack(side="left")
        slider.configure(command=changed, background="white", highlightthickness=0)
        slider.pack(side="left", fill="x", expand=True)


class SliderDialog(FigureWindow):
    """A figure with a slider for a value; `ask` returns the chosen value, or None if cancelled."""

    def __init__(self, title: str, draw: Callable, values: Sequence, start: int, parent=None):
        import tkinter

        self._values, self._at, self._accepted = values, start, False
        super().__init__(title, lambda: draw(self._values[self._at]), parent)
        bar = tkinter.Frame(self._frame, background="white")
        bar.pack(side="bottom", fill="x")
        tkinter.Button(bar, text="Cancel", command=self.root.destroy).pack(
            side="right", padx=4, pady=4
        )
        tkinter.Button(bar, text="Use this value", command=self.accept).pack(
            side="right", padx=4, pady=4
        )
        self.slider = tkinter.Scale(
            bar, from_=0, to=len(values) - 1, orient="horizontal", showvalue=False
        )
        self.slider.set(start)
        self.slider.configure(command=self._moved, background="white", highlightthickness=0)
        self.slider.pack(side="left", fill="x", expand=True)

    def _moved(self, position) -> None:
        if int(position) != self._at:
            self._at = int(position)
            self.redraw()

    def accept(self) -> None:
        self._accepted = True
        self.root.destroy()

    def ask(self):
        self.show()
        self.root.wait_window(self.root)
        return self._values[self._at] if self._accepted else None


def figure_or_sentence(draw: Callable):
    """The figure, or one with the error message, which would otherwise only reach stderr."""
    from cryoposes_plugin.core.plots.figures import new_figure

    try:
        return draw()
    except Exception as error:  # shown in the window
        logger.warning(
            "Nothing to show: %s", error, exc_info=not isinstance(error, (CryoposesError, OSError))
        )
        figure = new_figure()
        figure.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True)
        return figure
