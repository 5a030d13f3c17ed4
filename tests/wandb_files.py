"""Reading back what W&B wrote in offline mode: the messages of its log, a LevelDB log of protobuf records."""

import json
import struct

HEADER = 7  # bytes, of the file and of each piece of a record
BLOCK = 32768
WHOLE, LAST = 1, 4


def messages(path):
    """Yield the ``Record`` messages of a run-*.wandb file."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    position, pieces = HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:  # too little for another piece: padding
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        pieces += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (WHOLE, LAST):
            yield Record.FromString(pieces)
            pieces = b""


def run_files(folder):
    """Return the paths of the runs' logs in a tracker's folder, oldest first."""
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))


def read(folder):
    """Return the last run in a tracker's folder as dict.

    ``"config"``: settings; ``"history"``: {step: {name: value}}; ``"artifacts"``: [{type: names of files}];
    ``"run"``: its message; ``"exit"``: the exit status; ``"files"``: the folder of pictures and tables.
    """
    path = run_files(folder)[-1]
    result = {"config": {}, "history": {}, "artifacts": [], "files": path.parent / "files"}
    for message in messages(path):
        kind = message.WhichOneof("record_type")
        if kind == "run":
            result["run"] = message.run
            result["config"] |= {item.key: json.loads(item.value_json) for item in message.run.config.update}
        elif kind == "history":
            row = result["history"].setdefault(message.history.step.num, {})
            for item in message.history.item:
                name, *inner = item.nested_key or [item.key]
                value = json.loads(item.value_json)
                row.setdefault(name, {}).update({".".join(inner): value}) if inner else row.update({name: value})
        elif kind == "artifact":
            result["artifacts"].append(
                (message.artifact.type, [entry.path for entry in message.artifact.manifest.contents])
            )
        elif kind == "exit":
            result["exit"] = message.exit.exit_code
    return result
