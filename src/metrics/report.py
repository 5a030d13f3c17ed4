"""A report of an evaluation as a table for people, and as metrics.json and metrics.csv for programs."""

import csv
import io
import json
import math
import platform
import tempfile
from dataclasses import asdict, fields
from importlib import metadata
from pathlib import Path

from ..errors import UserError
from ..host.files import write_text
from .evaluate import METRICS
from .fid import SPLITS
from .picture_sets import SetScores
from .scores import PROTOCOLS

ABSENT = "–"

_DECIMALS = {"psnr": 2, "ssim": 4, "lpips": 4, "lr_psnr": 2, "consistency": 2, "niqe": 2}
_TITLES = {"lr_psnr": "LR-PSNR", "consistency": "LR-MSE/1e-5"}  # the others: their names in capitals
_PACKAGES = ("numpy", "scikit-image", "scipy", "mindspore")


def as_table(report, about):
    """The means as aligned text: a line that says how they were measured, a row per method, notes; "–" is not measured.

    ``about`` has "seed"; "methods", name → dict, whose options of sampling are shown; if there are sets "fid", a dict
    with "as", who prepares pictures so, and "reference"; "pictures", how many each method made, if these have no
    scores; and perhaps "lr_kernel", which made LR, or "degradation", its settings and "seed".
    """
    titles = {metric: metric.upper() for metric in METRICS} | _TITLES
    titles |= {"lpips": f"LPIPS({report.lpips_net})"} if report.lpips_net else {}
    hidden = {"consistency": report.protocol != "sr3", "niqe": not report.niqe}
    shown = [metric for metric in METRICS if not hidden.get(metric)] if report.scores else []
    rows = [["", *(titles[metric] for metric in shown), *(("FID", "IS") if report.sets else ()), "sampler"]]
    for method in report.scores or report.sets:
        mean = asdict(report.mean(method)) if shown else {}
        sets = _sets_shown(report.sets[method]) if report.sets else ()
        sampling = _sampling_shown(about["methods"].get(method, {}))
        rows.append([method, *(_shown(mean[metric], _DECIMALS[metric]) for metric in shown), *sets, sampling])
    head = f"pictures {len(report.names) if report.scores else about['pictures']}, seed {about['seed']}"
    if report.scores:
        scale = f"x{report.scale}" + ", LR by maxpool" * (about.get("lr_kernel") == "maxpool")
        scale += f", LR degraded by seed {about['degradation']['seed']}" if "degradation" in about else ""
        head = f"protocol {report.protocol} ({PROTOCOLS[report.protocol].description}), {scale}, {head}"
    return "\n".join([head, *_aligned(rows), *_too_small(report), *_fid_notes(report, about)])


def as_json(report, about):
    """All scores and ``about``, how they were measured, as JSON text.

    ``null`` is a score that was not measured; the string ``"inf"`` is the PSNR of identical pictures (JSON has no
    number for it, and Python's ``float`` reads it). A mean over identical pictures is "inf" as well.
    """
    content = dict(about)
    sets = {method: asdict(scores) for method, scores in report.sets.items()}
    if report.scores:
        content = {"protocol": report.protocol, "scale": report.scale, "lpips_net": report.lpips_net} | content
        content["mean"] = {method: _plain(report.mean(method)) for method in report.scores}
        content["sets"], content["hr_set"] = sets, asdict(report.hr_set) if report.hr_set else None
        content["pictures"] = [
            {"name": name, **{method: _plain(rows[index]) for method, rows in report.scores.items()}}
            for index, name in enumerate(report.names)
        ]
        content["notes"] = _too_small(report)
    else:
        content |= {"sets": sets, "notes": _fid_notes(report, about)}
    content["versions"] = _versions()
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(report):
    """One line per picture and method as CSV text: picture, method and the scores, empty where not measured.

    Where FID and IS were measured, there are columns for them, and a line per method with the means and no picture's
    name; without scores of pictures, these lines alone.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    of_sets = [metric.name for metric in fields(SetScores)] if report.sets else []
    writer.writerow(["picture", "method", *METRICS, *of_sets] if report.scores else ["method", *of_sets])
    for index, name in enumerate(report.names):
        for method, rows in report.scores.items():
            writer.writerow([name, method, *_plain(rows[index]).values(), *("" for _ in of_sets)])
    for method, scores in report.sets.items():
        means = ["", method, *_plain(report.mean(method)).values()] if report.scores else [method]
        writer.writerow([*means, *asdict(scores).values()])
    return text.getvalue()


def prepare_folder(folder, option="--output"):
    """Make a folder for results, named by ``option``, before the work starts, so that a wrong name is told at once."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}; name another with {option}") from error


def write_report(report, about, folder):
    """Write ``metrics.json`` and ``metrics.csv`` into a folder, each whole or not at all."""
    write_text(Path(folder) / "metrics.json", as_json(report, about), what="metrics")
    write_text(Path(folder) / "metrics.csv", as_csv(report), what="metrics")


def _aligned(rows):
    """Rows of text as lines with aligned columns, the first and the last to the left, others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *middle, last in rows:
        cells = [cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells, last]).rstrip())
    return lines


def _sets_shown(scores):
    deviation = "" if scores.is_std is None else f"±{scores.is_std:.2f}"
    return [_shown(scores.fid, 2), _shown(scores.is_mean, 2) + deviation]


def _shown(value, decimals):
    return ABSENT if value is None else f"{value:.{decimals}f}"


def _sampling_shown(method):
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


def _too_small(report):
    """A sentence for each score that some pictures are too small for, or too flat."""
    notes = []
    asked = {"lpips": report.lpips_net, "niqe": report.niqe}
    for metric in METRICS if report.scores else ():
        names = report.without(metric)
        if names and asked.get(metric, True):
            small = "too small or too flat" if metric == "niqe" else "too small"
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            notes.append(f"no {metric.upper()} for pictures {small} for it: {', '.join(names[:3])}{more}")
    return notes


def _fid_notes(report, about):
    """Sentences that say how FID and IS were measured; none where they were not."""
    if not report.sets:
        return []
    notes = [f"FID and IS of pictures prepared as {about['fid']['as']} does; FID to {about['fid']['reference']}"]
    if report.hr_set and report.hr_set.is_mean is not None:
        notes[0] += f", whose IS is {_sets_shown(report.hr_set)[1]}"
    if any(scores.is_mean is None for scores in report.sets.values()):
        notes.append(f"no IS for fewer than {SPLITS} pictures")
    return notes


def _plain(scores):
    return {name: "inf" if value == math.inf else value for name, value in asdict(scores).items()}


def _versions():
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # mindspore's builds for other devices have other names
            continue
    return versions
