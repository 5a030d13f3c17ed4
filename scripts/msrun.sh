# shellcheck shell=bash
# Sourced by the scripts that can run a command as several ranks, one for each device, by MindSpore's msrun:
#
#   source "$project/scripts/environment.sh"
#   source "$project/scripts/msrun.sh"
#   take_options "$@"                               # sets nproc and the other options of msrun; rest: the others
#   prepare_environment_of "$project"
#   run_ranks LOGS RUN PROGRAM [ARGUMENT ...]       # exits
#
# The script defines usage. LOGS is "" for a temporary folder, which is kept where a rank is lost. RUN is the folder of
# a training, where rank 0 saves what it has before it ends; or "".

GRACE=120 # seconds that rank 0 has to finish its step and save when it is stopped
LAST_WORDS=10 # seconds that the ranks of another host have to end once the scheduler has

nproc="" nnodes=1 node_rank=0 master="" passed=() rest=()
signals=() msrun="" logs="" run="" console="" scheduler="" connection="" ended=""
own_logs=() msrun_log=""

fail() {
    echo "error: $*" >&2
    exit 2
}

take_options() {
    while (($#)); do
        case $1 in
            -h | --help) usage && exit ;;
            --nproc=* | --nnodes=* | --node-rank=* | --master=* | --bind_core=* | --rank_table_file=*)
                set -- "${1%%=*}" "${1#*=}" "${@:2}"
                continue
                ;;
            --nproc | --nnodes | --node-rank | --master | --bind_core | --rank_table_file)
                [[ -n "${2:-}" ]] || fail "$1 needs a value (see bash scripts/${0##*/} --help)"
                case $1 in
                    --nproc) nproc=$2 ;;
                    --nnodes) nnodes=$2 ;;
                    --node-rank) node_rank=$2 ;;
                    --master) master=$2 ;;
                    *) passed+=("$1=$2") ;;
                esac
                shift
                ;;
            *) rest+=("$1") ;;
        esac
        shift
    done
    if [[ -z "$nproc" ]]; then
        [[ "$nnodes$node_rank$master${passed[*]-}" == 10 ]] ||
            fail "options of msrun need --nproc, the processes on this host"
        return
    fi
    [[ "$nproc" =~ ^[1-9][0-9]{0,4}$ && "$nnodes" =~ ^[1-9][0-9]{0,4}$ ]] ||
        fail "--nproc and --nnodes must be numbers from 1 up, got '$nproc' and '$nnodes'"
    [[ "$node_rank" =~ ^[0-9]{1,5}$ && $((10#$node_rank)) -lt "$nnodes" ]] ||
        fail "--node-rank must be 0 to $((nnodes - 1)) with --nnodes $nnodes, got '$node_rank'"
    [[ "$nnodes" == 1 || -n "$master" ]] ||
        fail "several hosts need --master HOST[:PORT], the address of host 0, the same on every host"
    [[ -z "$master" || "$master" =~ ^[^:]+(:[0-9]{1,5})?$ ]] ||
        fail "--master must be HOST or HOST:PORT with a port from 1 to 65535, got '$master'"
}

# Prints the scheduler's IPv4 address and port: of --master, or this host's and a free one.
# shellcheck disable=SC2154  # prepare_environment sets python
find_master() {
    "$python" - "${master:-127.0.0.1:0}" "$node_rank" <<'PYTHON'
import socket
import sys

host, _, port = sys.argv[1].partition(":")
try:
    address, port = socket.gethostbyname(host), int(port or 8118)  # msrun's own
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if int(sys.argv[2]) == 0:
            server.bind((address, port))
        print(address, port or server.getsockname()[1])
except (socket.gaierror, UnicodeError) as error:
    sys.exit(f"error: --master {host} is not known here ({error}): name host 0 or its address")
except (OSError, OverflowError) as error:
    reason = getattr(error, "strerror", None) or "expected one from 1 to 65535"
    sys.exit(
        f"error: cannot listen at {address}:{port} ({reason}): --master must be the address of this host, number 0, "
        "with a port that no other job uses"
    )
PYTHON
}

# Runs the program $3 with the rest of the arguments as every rank of this host; shows what rank 0 says; exits.
run_ranks() {
    local address port rank status=0
    run=$2
    address=$(find_master) || exit 2
    read -r address port <<<"$address"
    scheduler=$address/$port
    logs=${1:-$(mktemp -d)}
    msrun_log=$logs/msrun_$((10#$node_rank)).log
    for ((rank = nproc * 10#$node_rank; rank < nproc * (10#$node_rank + 1); rank++)); do
        own_logs+=("$logs/worker_$rank.log") # hosts may share the folder
    done
    ((10#$node_rank)) || own_logs+=("$logs/scheduler.log")
    { mkdir -p "$logs" && : | tee "${own_logs[@]}" >"$msrun_log"; } 2>/dev/null ||
        fail "cannot write to $logs: name another --output"
    export PATH=${python%/*}:$PATH # where msrun finds python
    trap end_ranks EXIT            # whatever this script may end with
    trap 'signals+=(INT)' INT
    trap 'signals+=(TERM)' TERM
    trap 'signals+=(HUP)' HUP
    start_msrun --worker_num=$((nproc * nnodes)) --local_worker_num="$nproc" --node_rank="$node_rank" \
        --master_addr="$address" --master_port="$port" ${passed[@]+"${passed[@]}"} "${@:3}"
    wait_for_end 0
    ((${#signals[@]} == 0)) || stop
    if ! kill -0 "$msrun" 2>/dev/null; then
        ended="" # no sooner than the scheduler, but in time
        wait "$msrun" || status=$?
    fi
    end_ranks
    [[ -z "$console" ]] || wait "$console" || true
    finish "$status"
}

# Runs the program $2 of the project $1 with the rest of the arguments, or with --nproc as ranks that share its pictures.
share_pictures() {
    take_options "${@:3}"
    [[ -n "$nproc" ]] || run_command "$1" "$2" ${rest[@]+"${rest[@]}"}
    prepare_environment_of "$1"
    run_ranks "" "" "$1/$2" ${rest[@]+"${rest[@]}"}
}

# Starts msrun and, on host 0, the display of rank 0's log: msrun's own ends before the last lines.
start_msrun() {
    local dying=()
    if setpriv --pdeathsig KILL true 2>/dev/null; then # a script that is killed leaves nothing behind either
        dying=(setpriv --pdeathsig KILL)
    fi
    set -m # process groups of their own: a Ctrl-C is for this script alone
    ${dying[@]+"${dying[@]}"} msrun --join=True --log_dir="$logs" --tail_worker_log=-2 "$@" </dev/null \
        >"$msrun_log" 2>&1 &
    msrun=$!
    if ((10#$node_rank)); then
        echo "rank 0 reports on host 0, the others in $logs" >&2
    else
        tail -n +1 -f --pid="$msrun" "${own_logs[0]}" &
        console=$!
    fi
    set +m
}

# Waits until the job ends, or more than $1 signals have come, or $2 seconds are over.
wait_for_end() {
    local end=${2:+$((SECONDS + $2))}
    until ! kill -0 "$msrun" 2>/dev/null || [[ -n "$(failure)" ]] || scheduler_ended ||
        ((${#signals[@]} > $1)) || [[ -n "$end" && $SECONDS -gt "$end" ]]; do
        sleep 0.5 || true
    done
}

# Prints what ended the job as soon as msrun or the scheduler has said it: they wait for each other then.
failure() {
    sed -n 's/.*Worker process \([0-9]*\) exit with exception. Error code: \(-\{0,1\}[0-9]*\).*/\1 \2/p' "$msrun_log"
    grep -h '^the scheduler ended' "${own_logs[@]}"
}

# Says whether the scheduler has ended on host 0, to which another host holds a connection: the ranks would not notice.
scheduler_ended() {
    ((10#$node_rank)) || return
    if [[ -z "$connection" ]]; then
        timeout 1 bash -c ": </dev/tcp/$scheduler" 2>/dev/null && exec {connection}<>"/dev/tcp/$scheduler"
        return 1
    fi
    [[ -n "$ended" ]] || ! read -r -t 0 -u "$connection" || ended=$SECONDS
    [[ -n "$ended" ]] && ((SECONDS > ended + LAST_WORDS))
}

# After a signal: lets rank 0 of a training, or every rank of other work, end by itself.
stop() {
    local ranks
    ranks=$(children)
    if [[ -n "$run" ]]; then # rank 0 holds the lock once it has something to save
        ranks=$(grep -xFf "$run/.lock" <<<"$ranks" 2>/dev/null) || true
    fi
    [[ -n "$ranks" ]] || ((10#$node_rank)) || return 0
    printf '\n%s\n' "stopping: rank 0 has $GRACE s to finish its step and save; once more stops at once" >&2
    # shellcheck disable=SC2086
    [[ -z "$ranks" ]] || kill -TERM $ranks 2>/dev/null || true
    wait_for_end 1 "$GRACE"
}

children() {
    tr ' ' '\n' <"/proc/$msrun/task/$msrun/children"
}

# Ends msrun, which is stopped first so that it starts no others, and the process group of each rank, lost ones too.
end_ranks() {
    local pid
    kill -STOP "$msrun" || true
    for pid in "$msrun" $(children) $(sed -n 's/^rank [0-9]* is process //p' "${own_logs[@]}"); do
        kill -KILL -- "-$pid" || true
    done
    wait "$msrun" || true
} 2>/dev/null

# Says what went wrong, once, and exits; $1 is msrun's status.
finish() {
    local pid code status=$1 mistakes
    trap - EXIT
    read -r pid code <<<"$(failure)" || true
    mistakes=$(cat "${own_logs[@]}" | tr '\r' '\n' | grep '^error: ' | sort -u) || true
    if ((${#signals[@]})); then
        status=$((128 + $(kill -l "${signals[0]}")))
    elif [[ "$pid" =~ ^[0-9]+$ && "$code" != 2 ]]; then
        tell_lost "$pid" "$code"
    elif [[ -n "$mistakes" ]]; then
        grep -vxFf <(cat "$logs/worker_0.log" 2>/dev/null | tr '\r' '\n' | grep '^error: ') <<<"$mistakes" >&2 || true
        status=2
        [[ -n "$code" ]] || status=1 # no rank has ended with it: some of the pictures could not be done
    elif [[ -n "$code$ended" ]]; then
        [[ -n "$code" ]] || pid="the job has ended on host 0, ${scheduler%/*}, which says why"
        printf '\n%s\n' "error: $pid${code:+ $code}: start every host again${run:+ with --resume}" >&2
        exit 1
    elif ((status)); then
        echo "error: msrun ended with status $status: $(tail -n 1 "$msrun_log") ($msrun_log)" >&2
        exit "$status"
    fi
    [[ -n "$run" ]] || rm -rf "$logs"
    exit "$status"
}

# Says that the process $1 ended with the status $2, negative for a signal, and exits.
tell_lost() {
    local log rank how="ended with status $2" status=$2 remedy="start again"
    [[ -z "$run" ]] || remedy="go on from the newest checkpoint with --resume"
    log=$(grep -lx "rank [0-9]* is process $1" "${own_logs[@]}") || true
    rank=${log##*_}
    if (($2 < 0)); then
        how="was killed by signal $((-$2)) (SIG$(kill -l $((-$2))))"
        status=$((128 - $2))
    fi
    echo >&2 # below rank 0's bar
    [[ -z "$log" || "$rank" == 0.log ]] || tail -n 10 "$log" >&2 # rank 0's are on the terminal
    echo "error: rank ${rank%.log} $how; its log is ${log:-in $logs}; the other ranks were stopped: $remedy" >&2
    exit "$status"
}
