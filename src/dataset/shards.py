"""One output that several runs write together: each does a shard of the pictures, the last to finish completes it.

OUTPUT/.shards/2_of_4 holds the lock of the second of four shards while it runs, and outcomes.json: null from its
beginning, what became of its pictures when it is done. The output's own lock, which a run of all pictures holds
throughout, a shard holds for moments: when it begins, and when it tells its outcomes.
"""

import contextlib
import json
import shutil
import time
from typing import NamedTuple

from ..errors import UserError
from ..host.files import locked, write_text
from .manifest import SHARDS, check_ours, make_folders, read_manifest, same_plan, write_manifest

_OUTCOMES = "outcomes.json"
_PATIENCE = 60  # seconds: a shard holds the output's lock for less


class Shard(NamedTuple):
    """``--shard NUMBER/COUNT``: every COUNTth picture of the plan, NUMBER from 1."""

    number: int
    count: int

    def folder(self, output):
        return output / SHARDS / f"{self.number}_of_{self.count}"

    def own(self, items):
        return items[self.number - 1 :: self.count]

    def entries(self, plan):
        """Return the shard's entries of a manifest."""
        return self.own([entry for split in plan["splits"].values() for entry in split["sources"]])


@contextlib.contextmanager
def in_turn(output):
    """Hold the lock of ``output``; wait while another shard holds it."""
    deadline = time.monotonic() + _PATIENCE
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(output))
                break
            except UserError as error:
                if not isinstance(error.__cause__, BlockingIOError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield


def begin_shard(output, plan, shard):
    """Note in the locked output that the shard begins; return whether there is anything to do."""
    check_ours(output)
    known = read_manifest(output)
    if known is None:
        write_manifest(output, plan)
    elif not same_plan(known, plan):
        remedy = "name another folder, or replace it by a run with --force and without --shard"
        raise UserError(f"{output} differs in pictures, options or version: {remedy}")
    elif known["complete"]:
        shutil.rmtree(output / SHARDS, ignore_errors=True)
        return False
    for path in (output / SHARDS).glob(f"*_of_*/{_OUTCOMES}"):
        count = path.parent.name.rpartition("_")[2]
        if count != str(shard.count):
            remedy = f"expected --shard I/{count}; a run without --shard does all that is left"
            raise UserError(f"{output} is written in {count} shards, not {shard.count}: {remedy}")
    make_folders(output, plan)
    write_text(shard.folder(output) / _OUTCOMES, "null", "outcomes")
    return True


def collect(output, plan, shard):
    """Tell the shard's outcomes in the locked output; return whether all shards have, and ``plan`` holds them now."""
    own = [{key: entry[key] for key in ("error", "small") if key in entry} for entry in shard.entries(plan)]
    write_text(shard.folder(output) / _OUTCOMES, json.dumps(own, ensure_ascii=False), "outcomes")
    shards = [Shard(number, shard.count) for number in range(1, shard.count + 1)]
    paths = [each.folder(output) / _OUTCOMES for each in shards]
    outcomes = [json.loads(path.read_text(encoding="utf-8")) if path.exists() else None for path in paths]
    if None in outcomes:
        return False
    for each, told in zip(shards, outcomes, strict=True):
        for entry, outcome in zip(each.entries(plan), told, strict=True):
            entry.update(outcome)
    return True
