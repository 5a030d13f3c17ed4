#!/usr/bin/env python3
"""Train one stage on several devices, of one host or of several."""

import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.command import add_device, parser, run
from src.errors import UserError

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
PORT = 8118  # msrun's


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__, prog="bash scripts/run_distribute_train.sh")
    add_device(p)
    p.add_argument("--nproc", type=int, required=True, metavar="N", help="processes on this host, one for each device")
    p.add_argument("--nnodes", type=int, default=1, metavar="M", help="hosts, with N processes each")
    p.add_argument("--node-rank", type=int, default=0, metavar="R", help="this host's number; host 0 is the master")
    p.add_argument("--master", metavar="HOST[:PORT]", help=f"host 0, the same on every host; port {PORT} by default")
    p.add_argument("--config", required=True, metavar="YAML", help="the experiment")
    p.add_argument("--output", metavar="RUN", help="the run's folder; by default runs/NAME")
    p.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the run's folder")
    p.add_argument("overrides", nargs="*", metavar="key=value", help="settings, such as train.batch_size=8")
    return p.parse_intermixed_args()


def main():
    """Run train.py as every rank of this host; return the exit status."""
    args = arguments()
    from src.families.registry import read_config
    from src.host.launcher import launch

    config = read_config(args.config, args.overrides)  # here, so that what is wrong is said once
    output = args.output or f"runs/{config.name}"
    command = [sys.executable, str(TRAIN), "--config", args.config, "--output", output]
    command += ["--device", args.device] if args.device else []
    command += ["--resume"] if args.resume else []
    return launch([*command, *args.overrides], hosts(args), Path(output) / "logs")


def hosts(args):
    """Return the :class:`src.host.launcher.Hosts` that the command line describes.

    Raises:
        UserError: the numbers do not fit, or the master's address is unknown, not this host's, or in use.
    """
    from src.host.launcher import Hosts

    if args.nproc < 1 or args.nnodes < 1:
        raise UserError(f"--nproc and --nnodes must be at least 1, got {args.nproc} and {args.nnodes}")
    if not 0 <= args.node_rank < args.nnodes:
        raise UserError(f"--node-rank must be 0 to {args.nnodes - 1} with --nnodes {args.nnodes}, got {args.node_rank}")
    if args.nnodes > 1 and not args.master:
        raise UserError("several hosts need --master HOST[:PORT], the address of host 0, the same on every host")
    address, port = _address(args.master) if args.master else ("127.0.0.1", 0)
    if args.node_rank == 0:
        port = _free_port(address, port)
    return Hosts(address, port, args.nproc, args.nnodes, args.node_rank)


def _address(master):
    """Return (IPv4 address, port) of HOST or HOST:PORT."""
    host, colon, port = master.partition(":")
    if not host or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise UserError(f"--master must be HOST or HOST:PORT with a port from 1 to 65535, got '{master}'")
    try:
        return socket.gethostbyname(host), int(port or PORT)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--master {host} is not known here ({error}): name host 0 or its address") from error


def _free_port(address, port):
    """Return a port to listen on: this one, or any for 0.

    Raises:
        UserError: the address is another host's, or the port is in use.
    """
    try:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            return server.getsockname()[1]
    except OSError as error:
        raise UserError(
            f"cannot listen at {address}:{port} ({error.strerror}): --master must be the address of this host, number "
            "0, with a port that no other job uses"
        ) from error


if __name__ == "__main__":
    run(main)
