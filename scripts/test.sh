#!/usr/bin/env bash
# Lint and test everything, in a virtual environment that is made here if there is none.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/test.sh [-h] [--all] [PYTEST ARGUMENT ...]

Runs ruff, shellcheck and, in five runs, pytest; the reasons of skipped tests are listed at the end of each.
--all adds the slow tests: ranks, kills, full disks, whole runs. Two processes share the tests. Arguments go to
pytest, and then slow tests run as well, for example:
bash scripts/test.sh tests/imaging -k resize -n 0    (-n 0: in this process)

The environment is the active virtual environment if mindspore is installed in it, else .venv in
the project's folder, which is made on the first run (Python 3.10 to 3.12; PYTHON=/path/to/python
chooses one). Requirements are installed there whenever the requirements files have changed.
HELP
}

which=(-m "not slow")
case "${1:-}" in
    -h | --help)
        usage
        exit
        ;;
    --all)
        which=()
        shift
        ;;
    ?*) which=() ;;
esac
CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/environment.sh
source scripts/environment.sh
prepare_environment requirements.txt requirements-dev.txt

set -x
"$python" -m ruff check
"$python" -m ruff format --check
"${python%/*}/shellcheck" --external-sources scripts/*.sh .ci/run
if (($#)); then
    exec "$python" -m pytest -ra -n 2 --dist loadfile "$@"
fi
# Compiled graphs stay in a process until it ends: in five runs, without the slow tests, none grows beyond 2 GB.
rest=(tests)
failed=0
for group in "families layers losses diffusion" "inference metrics" export training; do
    read -ra rooms <<<"$group"
    rest+=("${rooms[@]/#/--ignore=tests/}")
    "$python" -m pytest -ra -n 2 --dist loadfile ${which[@]+"${which[@]}"} "${rooms[@]/#/tests/}" || failed=1
done
"$python" -m pytest -ra -n 2 --dist loadfile ${which[@]+"${which[@]}"} "${rest[@]}" || failed=1
exit "$failed"
