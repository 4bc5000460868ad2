# shellcheck shell=bash
# Sourced by the other scripts: installs tools that are missing on a fresh machine.

say() { printf '\n== %s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# need PACKAGE COMMAND [PACKAGE COMMAND]…: installs the Debian packages whose command is missing.
need() {
    local missing=()
    while (($#)); do
        command -v "$2" >/dev/null || missing+=("$1")
        shift 2
    done
    install "${missing[@]}"
}

# install PACKAGE…: installs the packages as root; for other users, fails with the command to run.
install() {
    (($#)) || return 0
    [[ $EUID -eq 0 ]] || die "needs these packages: apt-get install $*"
    command -v apt-get >/dev/null || die "needs these packages, and can install them only with Debian's apt-get: $*"
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends "$@" >&2
}

# python_tools FOLDER WHEEL…: installs these pinned packages of PyPI into FOLDER/python, unless it already contains them.
python_tools() {
    local folder=$1
    shift
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || install python3-pip
    if [[ "$(cat "$folder/wheels" 2>/dev/null)" != "$*" ]]; then
        say "downloading $*"
        mkdir -p "$folder"
        rm -rf "$folder/python"
        # --target, because Debian does not allow pip to change the system's Python.
        PIP_ROOT_USER_ACTION=ignore python3 -m pip install -q --disable-pip-version-check --no-cache-dir --no-compile \
            --target "$folder/python" "$@" >&2
        echo "$*" >"$folder/wheels"
    fi
}

# start_services: starts MongoDB and S3 if they are not running, and sets the variables with their addresses.
start_services() {
    local before now
    before=$(scripts/services env 2>/dev/null) || true
    # Set before the start, because an interruption may leave some of them running.
    services_started=yes
    now=$(scripts/services start)
    [[ $now != "$before" ]] || services_started=
    eval "$now"
}

# stop_services: stops what `start_services` has started.
stop_services() {
    [[ -z ${services_started:-} ]] || scripts/services stop
}

# free_ports N: prints N free TCP ports. They differ, because all of them are bound at the same time.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
PYTHON
}

# wait_for SECONDS WHAT COMMAND…: repeats the command until it succeeds, and fails after this time.
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { printf 'gave up waiting for %s\n' "$what" >&2; return 1; }
        sleep 0.1
    done
}
