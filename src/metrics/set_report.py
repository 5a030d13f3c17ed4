"""FID and IS of sets without pictures' own scores: a table for people, metrics.json and metrics.csv for programs."""

import csv
import io
import json
from dataclasses import asdict, fields
from pathlib import Path

from src.atomic_file import write_text
from src.metrics.picture_sets import SetScores
from src.metrics.report import SET_TITLES, aligned, fid_notes, sampling_shown, sets_shown, versions


def as_table(sets, about):
    """Return aligned text: a line that says what was measured, then a row per method.

    Args:
        sets: {method: :class:`src.metrics.picture_sets.SetScores`}.
        about: dict with ``"seed"``, ``"methods"`` and ``"fid"``, see :func:`src.metrics.report.as_table`, and
            ``"pictures"``, how many each method made.

    Returns:
        str without a newline at the end.
    """
    rows = [["", *SET_TITLES, "sampler"]]
    rows += [[name, *sets_shown(scores), sampling_shown(about["methods"][name])] for name, scores in sets.items()]
    head = f"pictures {about['pictures']}, seed {about['seed']}"
    return "\n".join([head, *aligned(rows), *fid_notes(sets, about)])


def as_json(sets, about):
    """Return all scores and how they were measured as JSON text; ``null`` is an IS of too few pictures."""
    content = {
        **about,
        "sets": {name: asdict(scores) for name, scores in sets.items()},
        "notes": fid_notes(sets, about),
        "versions": versions(),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(sets):
    """Return one line per method as CSV text: method and the scores, empty where there are none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", *(metric.name for metric in fields(SetScores))])
    writer.writerows([name, *asdict(scores).values()] for name, scores in sets.items())
    return text.getvalue()


def write_report(sets, about, folder):
    """Write ``metrics.json`` and ``metrics.csv`` into a folder, each whole or not at all.

    Raises:
        UserError: the folder cannot be written.
    """
    write_text(Path(folder) / "metrics.json", as_json(sets, about), what="metrics")
    write_text(Path(folder) / "metrics.csv", as_csv(sets), what="metrics")
