# shellcheck shell=bash
# Sourced by the scripts that run Python, in the project's folder:
#
#   source scripts/environment.sh
#   prepare_environment requirements.txt [FILE ...]    # sets $python
#
# or, from any folder,
#
#   source "$project/scripts/environment.sh"
#   run_command "$project" train.py "$@"
#
# The environment is the active virtual environment if mindspore is installed in it, else .venv in the
# project's folder, which is made on the first use. The requirements files are installed there again
# only after they have changed.

prepare_environment() {
    local environment
    if [[ -n "${VIRTUAL_ENV:-}" ]] && has_mindspore "$VIRTUAL_ENV/bin/python"; then
        environment=$VIRTUAL_ENV
    else
        environment=$PWD/.venv
        make_environment "$environment" || return
    fi
    python=$environment/bin/python
    if ! is_supported "$python"; then
        echo "error: $environment has $("$python" --version), but Python 3.10 to 3.12 is needed; remove or" \
            "deactivate it" >&2
        return 2
    fi
    local file
    for file in "$@"; do
        install_requirements "$file" "$environment/${file##*/}.installed" || return
    done
}

# Runs the command $2 of the project $1 with the rest of the arguments, in the folder that the user is in.
run_command() {
    prepare_environment_of "$1" || return
    exec "$python" "$1/$2" "${@:3}"
}

# Prepares the environment of the project $1, from the folder that the user is in.
prepare_environment_of() {
    local here=$PWD
    cd "$1" || return
    prepare_environment requirements.txt || return
    cd "$here" || return
}

has_mindspore() {
    "$1" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("mindspore") is None)' 2>/dev/null
}

is_supported() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

# Makes the virtual environment $1 unless it is there and whole.
make_environment() {
    local base
    "$1/bin/python" -m pip --version >/dev/null 2>&1 && return
    base=$(find_python) || return
    echo "making the virtual environment $1 with $("$base" --version)" >&2
    if ! "$base" -m venv --clear "$1" >&2; then
        echo "error: $base cannot make a virtual environment; install its venv module (on Debian: python3-venv)" >&2
        return 2
    fi
}

# Prints the name of a Python that mindspore supports: $PYTHON if it is set, else the first that is found.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.10 python3 python; do
        if is_supported "$candidate"; then
            echo "$candidate"
            return
        fi
        [[ "$candidate" == "${PYTHON:-}" ]] && break
    done
    echo "error: Python 3.10, 3.11 or 3.12 is needed, got ${PYTHON:-$(python3 --version 2>&1)}; install one," \
        "or name it: PYTHON=/path/to/python3.11" >&2
    return 2
}

# Installs the requirements file $1 unless the stamp $2 shows that this very content is installed.
install_requirements() {
    local sum
    sum=$(cksum <"$1") || return
    [[ "$(cat "$2" 2>/dev/null)" == "$sum" ]] && return
    echo "installing $1" >&2
    "$python" -m pip install --quiet --disable-pip-version-check -r "$1" || return
    echo "$sum" >"$2"
}
