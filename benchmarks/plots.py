"""The load benchmark's measurements as a picture: rate, p50 and p99 against the number of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

#: What is drawn: a figure of a measurement, its title.
_FIGURES = (("rate", "conversations a second"), ("p50", "median, ms"), ("p99", "99th percentile, ms"))


def plot(found: Mapping[Any, Mapping[int, Sequence[Any]]], file: Path) -> None:
    """Draw what `load.grid` found, as SVG."""
    # The same measurements make the same file.
    mpl.rcParams["svg.hashsalt"] = "kmstwist"
    figure = Figure(figsize=(9, 11), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(3, 1, sharex=True), _FIGURES, strict=True):
        for system, by_clients in found.items():
            values = [median(getattr(one, name) for one in measured) for measured in by_clients.values()]
            axes.plot(list(by_clients), values, marker="o", label=system.title)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_ylabel(title)
        axes.grid(visible=True, which="both", alpha=0.3)
    axes.set_xticks(list(next(iter(found.values()))), [str(number) for number in next(iter(found.values()))])
    axes.set_xlabel("clients at once")
    figure.axes[0].legend(fontsize="small", ncols=2)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, format="svg", metadata={"Date": None})


def plot_growth(found: Mapping[str, Sequence[tuple[float, float]]], times: Sequence[int], file: Path) -> None:
    """Draw what `growth.measure` found: microseconds against how many times as much there is."""
    mpl.rcParams["svg.hashsalt"] = "kmstwist"
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, costs in found.items():
        axes.plot(list(times), [took for _, took in costs], marker="o", label=name)
    axes.set_xscale("log")
    axes.set_xticks(list(times), [f"{each} times" for each in times])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("µs for each conversation or record")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(file, format="svg", metadata={"Date": None})
