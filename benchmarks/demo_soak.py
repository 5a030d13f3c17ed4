#!/usr/bin/env python3
"""Ask the page for many pictures in a row and print the memory of its server, and what lies on its disk.

The memory at the end is to be within 10 % of that after the fifth picture, else the exit status is 1. It needs
requirements-demo.txt.
"""

import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402

WARM = 5  # pictures after which the memory is what it is compared with
ALLOWED = 0.1


def main():
    p = parser(__doc__)
    p.add_argument("--input", required=True, metavar="FILE", help="a picture")
    p.add_argument("--requests", type=int, default=50, metavar="N", help="how many times it is enlarged")
    p.add_argument("--model", default="checkpoints/srdiff_lite_x4_fewstep.ckpt", help="as the page names it")
    args = p.parse_args()
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)  # of which each request has lines
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TMPDIR": folder}
        command = [sys.executable, ROOT / "demo.py", "--port", str(_free_port()), "--device", "CPU"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
            try:
                used = soak(server, args, Path(folder))
            finally:
                server.terminate()
        left = sum(path.is_file() for path in Path(folder).rglob("*"))
    growth = used[-1] / used[WARM - 1] - 1
    print(f"memory after picture {len(used)} / after picture {WARM}: {1 + growth:.3f}; files left at the end: {left}")
    return int(growth > ALLOWED or left > 0)


def soak(server, args, folder):
    """Print a line for each tenth picture; return the server's memory in bytes after each."""
    from gradio_client import Client, handle_file

    address, used = server.stdout.readline().strip(), []
    with tempfile.TemporaryDirectory() as downloads:
        client = Client(address, verbose=False, download_files=downloads)
        print("picture  seconds  memory (MB)  files on disk")
        for number in range(1, args.requests + 1):
            begun = time.perf_counter()
            picture = handle_file(args.input)
            client.predict(picture, args.model, "", "", number, "own", 1, False, None, {}, api_name="/enlarge")
            used.append(_memory(server.pid))
            if number in (1, WARM) or number % 10 == 0:
                files = sum(path.is_file() for path in folder.rglob("*"))
                seconds = time.perf_counter() - begun
                print(f"{number:7d}  {seconds:7.1f}  {used[-1] / 1e6:11.0f}  {files:13d}", flush=True)
        client.close()
    return used


def _memory(pid):
    """The memory that a process holds now, in bytes (Linux)."""
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def _free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


if __name__ == "__main__":
    run(main)
