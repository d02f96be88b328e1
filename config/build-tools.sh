#!/bin/sh
# Makes sure that this machine has what building (and, with `test`, testing) needs.
#
# What is missing is installed with apt-get where there is one and it may be used; elsewhere this
# prints what is missing and how to get it, and fails. Nothing is done twice.
set -eu

purpose=${1:-build}
missing=""

lack() { missing="$missing $1"; }
have() { command -v "$1" >/dev/null 2>&1; }

have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for library in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib*/libclang*.so*; do
        [ -e "$library" ] && return 0
    done
    return 1
}

if ! have cargo; then
    echo "This needs Rust: install rustup (see www.rust-lang.org), then run this again." >&2
    exit 1
fi

# RocksDB is C++, its bindings are made with libclang; jemalloc is built with make.
have c++ || have g++ || have clang++ || lack g++
have cc || have gcc || lack gcc
have make || lack make
# libclang alone lacks the compiler's own headers, which come with clang.
have_libclang || lack libclang-dev
have clang || [ -n "${LIBCLANG_PATH:-}" ] || lack clang
if [ "$purpose" = test ]; then
    # The real clients that drive the server.
    have python3 || lack python3
    python3 -c 'import ensurepip' 2>/dev/null || lack python3-venv
    have node || lack nodejs
    have npm || lack npm
fi

[ -n "$missing" ] || exit 0

as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
echo "This machine lacks:$missing"
if have apt-get && { [ -z "$as_root" ] || $as_root true 2>/dev/null; }; then
    echo "Installing with apt-get."
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -q
    # shellcheck disable=SC2086 # a list of packages
    $as_root apt-get install -q -y --no-install-recommends $missing
    exit 0
fi
{
    echo "They cannot be installed from here. On Debian or Ubuntu, an administrator runs:"
    echo "    apt-get install$missing"
    echo "For libclang there is another way: pip install libclang, and LIBCLANG_PATH set to the"
    echo "folder with its libclang.so."
} >&2
exit 1
