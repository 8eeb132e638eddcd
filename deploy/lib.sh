# shellcheck shell=bash
# What deploy/up, deploy/test and .ci/run share: find or install what a build needs, and build.
# Sourced, never run. It changes nothing when everything is there.

set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
target="${CARGO_TARGET_DIR:-$root/target}"
java_min=17
postgres_min=15
python_min="3, 11"

say() { printf '%s\n' "$*" >&2; }
die() { say "$1"; exit "${2:-3}"; }

# at_least HAVE WANT: compares versions such as 1.95 and 1.100.
at_least() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]; }

rust_min() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml"; }

has_rust() {
    local version
    command -v cargo >/dev/null || return 1
    # From the clone, so that a toolchain file or an override for it counts.
    version="$(cd -- "$root" && rustc --version 2>/dev/null | cut -d ' ' -f 2)"
    [[ -n "$version" ]] && at_least "$version" "$(rust_min)"
}

# Chooses a toolchain that is already installed; leaves PATH and RUSTUP_TOOLCHAIN to match.
find_rust() {
    has_rust && return
    if [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
        export PATH
        has_rust && return
    fi
    command -v rustup >/dev/null || return 1
    local toolchain
    while read -r toolchain _; do
        export RUSTUP_TOOLCHAIN="$toolchain"
        has_rust && return
    done < <(rustup toolchain list)
    unset RUSTUP_TOOLCHAIN
    return 1
}

has_compiler() { command -v cc >/dev/null && command -v make >/dev/null; }

# librdkafka speaks TLS through OpenSSL.
has_openssl() { echo '#include <openssl/ssl.h>' | cc -E - >/dev/null 2>&1; }

has_java() {
    local java=java major
    [[ -z "${JAVA_HOME:-}" ]] || java="$JAVA_HOME/bin/java"
    major="$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)" || return 1
    [[ -n "$major" ]] && ((major >= java_min))
}

has_maven() { [[ -n "${KAFKA_HOME:-}" ]] || command -v mvn >/dev/null; }

has_postgres() {
    local candidate major
    for candidate in "${PG_BINDIR:-}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin ${PATH//:/ }; do
        [[ -x "$candidate/postgres" && -x "$candidate/initdb" ]] || continue
        major="$("$candidate/postgres" --version 2>/dev/null | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')"
        [[ -n "$major" ]] && ((major >= postgres_min)) && return
    done
    return 1
}

as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

can_install() {
    command -v apt-get >/dev/null || return 1
    # Without a terminal sudo could not ask for a password.
    ((EUID == 0)) || { command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; }
}

apt_install() {
    # Debian's package would make a cluster and start it on port 5432; nobody asked for that.
    local no_cluster=/etc/postgresql-common/createcluster.d/factfold.conf
    if [[ " $* " == *" postgresql "* ]]; then
        as_root mkdir -p "${no_cluster%/*}"
        echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    fi
    local installed=0
    as_root apt-get -qq update >&2 &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2 ||
        installed=$?
    as_root rm -f "$no_cluster"
    ((installed == 0)) || die "apt-get could not install $*: see above."
}

# Makes sure that everything a build and a start need is there.
need_everything() {
    local packages=()
    has_compiler || packages+=(gcc libc6-dev make)
    has_openssl || packages+=(libssl-dev pkg-config)
    find_rust || packages+=(rustc-web cargo-web)
    has_java || packages+=(default-jre-headless)
    has_maven || packages+=(maven)
    has_postgres || packages+=(postgresql)
    if ((${#packages[@]} > 0)); then
        can_install || die "Missing here, by their Debian names: ${packages[*]}. Run as root: apt-get install -y ${packages[*]}"
        say "Installing ${packages[*]} ..."
        apt_install "${packages[@]}"
    fi
    hash -r
    find_rust || die "Rust $(rust_min) or newer is needed: run 'rustup update stable', or install rustup."
    has_compiler || die "A C compiler and make are needed: install gcc and make."
    has_openssl || die "OpenSSL's headers are needed: install libssl-dev (openssl-devel elsewhere) and pkg-config."
    has_java || die "Java $java_min or newer is needed: install it, or set JAVA_HOME."
    has_maven || die "Maven is needed to fetch Kafka: install it, or set KAFKA_HOME."
    has_postgres || die "PostgreSQL $postgres_min or newer is needed: install it, or set PG_BINDIR."
}

has_python() { python3 -c "import ensurepip, sys, venv; sys.exit(sys.version_info < ($python_min))" 2>/dev/null; }

# python_tools: installs the programs of tests/python/requirements.txt, once, in an environment of their own, and leaves its path
# in FACTFOLD_PYTHON. Without Python there is none, and the tests that need one say so.
python_tools() {
    local wanted="$root/tests/python/requirements.txt" tools="$target/python"
    has_python || ! can_install || apt_install python3 python3-venv
    if ! has_python; then
        say "Python ${python_min/, /.} or newer, with venv, is not here: the tests with schemathesis and a generated client are SKIPPED."
        return
    fi
    if ! cmp -s "$wanted" "$tools/installed.txt"; then
        say "Installing the Python tools of the tests ..."
        python3 -m venv --clear "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" >&2 ||
            die "pip could not install the Python tools of the tests: see above."
        cp "$wanted" "$tools/installed.txt"
    fi
    export FACTFOLD_PYTHON="$tools"
}

# Makes sure that deploy/runners has what it builds the runners of functions with.
need_runner_tools() {
    local packages=()
    command -v node >/dev/null || packages+=(nodejs)
    command -v npm >/dev/null || packages+=(npm)
    has_python || packages+=(python3 python3-venv)
    ((${#packages[@]} > 0)) || return 0
    can_install || die "Missing here, by their Debian names: ${packages[*]}. Run as root: apt-get install -y ${packages[*]}"
    say "Installing ${packages[*]} ..."
    apt_install "${packages[@]}"
    hash -r
    has_python || die "Python ${python_min/, /.} or newer, with venv, is needed: install python3 and python3-venv."
}

has_wasi_c() { echo '#include <stdio.h>' | clang --target=wasm32-wasi -E - >/dev/null 2>&1; }

# wasi_tools: installs what the test compiles the C example of a function with. Without it that test says so.
wasi_tools() {
    # The last one is called otherwise on other releases: no reason to run no tests there.
    has_wasi_c || ! can_install || (apt_install clang lld wasi-libc libclang-rt-14-dev-wasm32) || true
    has_wasi_c || say "clang and wasi-libc are not here: the test of a function in C is SKIPPED."
}

# build PROFILE MINUTES ARGS...: builds the factfold binary, says how long that takes the first
# time (MINUTES on two cores), and leaves its path in $factfold.
build() {
    local profile="$1" minutes="$2" directory="$1"
    shift 2
    [[ "$profile" != dev ]] || directory=debug
    factfold="$target/$directory/factfold"
    if [[ ! -x "$factfold" ]]; then
        local cores
        cores="$(nproc)"
        ((cores <= 8)) || cores=8
        say "Building factfold ($profile). The first time this takes about $(((minutes * 2 + cores - 1) / cores)) minutes on this machine ..."
    fi
    cargo build --manifest-path "$root/Cargo.toml" --target-dir "$target" --locked \
        --profile "$profile" -p factfold --bin factfold "$@" || die "The build failed: see above." 1
}
