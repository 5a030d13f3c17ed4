"""A report of an evaluation as a table for people, and as metrics.json and metrics.csv for programs."""

import csv
import io
import json
import math
import platform
import tempfile
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from src.atomic_file import write_text
from src.errors import UserError
from src.metrics.evaluate import METRICS
from src.metrics.scores import PROTOCOLS

ABSENT = "–"

_DECIMALS = {"psnr": 2, "ssim": 4, "lpips": 4, "lr_psnr": 2}
_PACKAGES = ("numpy", "scikit-image", "scipy", "mindspore")


def as_table(report, about):
    """Return the means as aligned text: a line that says how they were measured, then a row per method.

    Args:
        report: :class:`src.metrics.evaluate.Report`.
        about: dict with ``"seed"`` and ``"methods"``: method name to dict, whose options of sampling are shown.

    Returns:
        str without a newline at the end. What was not measured is shown as "–".
    """
    lpips = f"LPIPS({report.lpips_net})" if report.lpips_net else "LPIPS"
    rows = [["", "PSNR", "SSIM", lpips, "LR-PSNR", "sampler"]]
    for method in report.scores:
        mean = asdict(report.mean(method))
        rows.append([method, *(_shown(mean[metric], _DECIMALS[metric]) for metric in METRICS)])
        rows[-1].append(_sampling(about["methods"].get(method, {})))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"protocol {report.protocol} ({PROTOCOLS[report.protocol].description}), x{report.scale}, "
        f"pictures {len(report.names)}, seed {about['seed']}"
    ]
    for first, *middle, last in rows:
        cells = [cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells, last]).rstrip())
    return "\n".join(lines + _notes(report))


def as_json(report, about):
    """Return all scores and how they were measured as JSON text.

    ``null`` is a score that was not measured; the string ``"inf"`` is the PSNR of identical pictures (JSON has no
    number for it, and Python's ``float`` reads it). A mean over identical pictures is "inf" as well.

    Args:
        report: :class:`src.metrics.evaluate.Report`.
        about: dict of what else belongs in the file: the data, the seed, each method's checkpoint and sampling.
    """
    content = {
        "protocol": report.protocol,
        "scale": report.scale,
        "lpips_net": report.lpips_net,
        **about,
        "mean": {method: _plain(report.mean(method)) for method in report.scores},
        "pictures": [
            {"name": name, **{method: _plain(rows[index]) for method, rows in report.scores.items()}}
            for index, name in enumerate(report.names)
        ],
        "notes": _notes(report),
        "versions": _versions(),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(report):
    """Return one line per picture and method as CSV text: picture, method and the scores, empty where not measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "method", *METRICS])
    for index, name in enumerate(report.names):
        for method, rows in report.scores.items():
            writer.writerow([name, method, *(_plain(rows[index])[metric] for metric in METRICS)])
    return text.getvalue()


def prepare_folder(folder):
    """Make a report's folder before the work starts, so that a wrong name is told at once; return its Path.

    Raises:
        UserError: it cannot be made or written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}; name another with --output") from error


def write_report(report, about, folder):
    """Write ``metrics.json`` and ``metrics.csv`` into a folder, each whole or not at all.

    Raises:
        UserError: the folder cannot be written.
    """
    write_text(Path(folder) / "metrics.json", as_json(report, about), what="metrics")
    write_text(Path(folder) / "metrics.csv", as_csv(report), what="metrics")


def _shown(value, decimals):
    return ABSENT if value is None else f"{value:.{decimals}f}"


def _sampling(method):
    shown = []
    if method.get("sampler") is not None:
        shown = [method["sampler"], f"steps {method['steps']}", f"temperature {method['temperature']:g}"]
        if method.get("spacing", "uniform") != "uniform":
            shown.insert(2, method["spacing"])
        if method.get("eta"):
            shown.insert(1, f"eta {method['eta']:g}")
    if method.get("consistency"):
        shown.append("consistent")
    return ", ".join(shown) or ABSENT


def _notes(report):
    """Return a sentence for each score that some pictures are too small for."""
    notes = []
    for metric in METRICS:
        names = report.without(metric)
        if names and (metric != "lpips" or report.lpips_net):
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            notes.append(f"no {metric.upper()} for pictures too small for it: {', '.join(names[:3])}{more}")
    return notes


def _plain(scores):
    """Return scores as a dict that JSON can hold."""
    return {name: "inf" if value == math.inf else value for name, value in asdict(scores).items()}


def _versions():
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # mindspore's builds for other devices have other names
            continue
    return versions
