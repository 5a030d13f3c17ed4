"""What demo.py does: a server on this machine, in a temporary folder that goes with it."""

import contextlib
import importlib.util
import logging
import os
import shutil
import tempfile
import threading
from functools import partial
from pathlib import Path

from ..command import add_device, add_tiling, factor, parser
from ..errors import UserError
from ..host.files import CACHE_VARIABLE

_QUIET = ("httpx", "httpx2", "httpcore", "httpcore2", "asyncio", "uvicorn", "gradio")
_PATIENCE = 60  # seconds until a tile that is being enlarged at the end is no longer waited for


def arguments():
    """Return the parsed command line."""
    p = parser("Open a page in the browser on which pictures are enlarged: drop one, drag the slider.")
    p.add_argument("--port", type=int, default=7860, help="of the page's address")
    p.add_argument("--host", default="127.0.0.1", help="who may open it: 0.0.0.0 is everybody in the network, who "
                   "see no other's pictures, but there is no password")  # fmt: skip
    p.add_argument("--max-pixels", type=factor, metavar="N", default=25, help="of a picture that is given, in "
                   "millions; more are refused (default: %(default)s)")  # fmt: skip
    add_tiling(p)
    add_device(p)
    return p.parse_args()


def main():
    args = arguments()
    if not 1 <= args.port <= 65535:
        raise UserError(f"--port must be from 1 to 65535, not {args.port}")
    found = importlib.util.find_spec("gradio")
    if found is None or found.origin is None:  # pip leaves the folder, since gradio has written into it
        remedy = "-r requirements-demo.txt" if __package__.startswith("src.") else '"mindspore-sr[demo]"'
        raise UserError(f"the page needs gradio: pip install {remedy}")
    with temporary_folder() as folder:
        serve(args, folder)


@contextlib.contextmanager
def temporary_folder():
    """Yield a folder for all that the server writes, gradio's uploads and large pictures among it, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="mindspore-sr-demo-"))
    near = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "localhost", "127.0.0.1"]))
    # before gradio is imported, which reads them then, and asks its own server whether it is there
    os.environ |= {
        "NO_PROXY": near, "no_proxy": near,
        "GRADIO_TEMP_DIR": str(folder / "uploads"), CACHE_VARIABLE: str(folder / "cache"), "GRADIO_SHARE": "False",
        "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def serve(args, folder):
    """Serve the page until Ctrl-C."""
    from .. import build
    from ..inference.tile_size import TileOptions
    from .demo_page import open_page
    from .demo_work import Desk

    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    tile_options = TileOptions(args.max_memory, args.tile, args.halo, args.fixed_tiles, beside=2, writing=0)
    load = partial(build.load_upscaler, device=args.device, tile_options=tile_options)
    desk = Desk(folder / "results", folder / "uploads", load, round(args.max_pixels * 1e6))
    page, address = open_page(desk, args.host, args.port)
    try:
        print(address, flush=True)
        threading.Event().wait()
    finally:
        desk.end(_PATIENCE)
        page.close(verbose=False)
