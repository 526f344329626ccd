#!/bin/bash
# Installs Safelight into a virtual environment of its own, and its unit. `make install` calls it.
#
# PREFIX   the environment, /opt/safelight by default
# DESTDIR  a folder that stands for / (packages, tests); nothing outside it is touched
# PYTHON   the interpreter to build on
#
# The environment is built beside the old one and takes its place with one rename, so that a
# failed installation leaves what was there.
set -euo pipefail
umask 022

checkout=$(cd "$(dirname "$0")/.." && pwd)
PREFIX=${PREFIX:-/opt/safelight}
DESTDIR=${DESTDIR:-}
PYTHON=${PYTHON:-/usr/bin/python3}
venv=$DESTDIR$PREFIX
etc=$DESTDIR/etc/safelight
lib=$DESTDIR/usr/local/lib

fail() {
    echo "make install: $*" >&2
    exit 1
}

check() {
    [[ $PREFIX == /?* && $PREFIX != *[[:space:]]* ]] ||
        fail "PREFIX=$PREFIX: expected an absolute path without spaces"
    [[ ! -e $venv || -x $venv/bin/safelight ]] ||
        fail "$venv exists and is no installation of Safelight; choose another PREFIX="
    [[ -n $DESTDIR || $(id -u) == 0 ]] || fail "must be run as root: sudo make install"
    case $("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))') in
    /home/* | /root/*)
        fail "the service could not run $PYTHON, which is in a home; name another with PYTHON=" ;;
    esac
}

# Copies what is packaged: what setuptools leaves behind, as root, is not for the checkout.
copy_sources() {
    local packages
    packages=$("$PYTHON" -c 'import sys, tomllib
with open(sys.argv[1], "rb") as file:
    packages = tomllib.load(file)["tool"]["setuptools"]["packages"]
print(*(name for name in packages if "." not in name))' "$checkout/pyproject.toml")
    # shellcheck disable=SC2086 # one word a package
    (cd "$checkout" && cp -R $packages pyproject.toml README.md LICENSE "$1")
}

build_environment() {
    local new=$venv.new
    work=$(mktemp -d)
    trap 'rm -rf "$work" "$venv.new"' EXIT
    mkdir "$work/sources"
    copy_sources "$work/sources"
    rm -rf "$new"
    mkdir -p "$(dirname "$new")"
    {
        "$PYTHON" -m venv --prompt safelight "$new" &&
            "$new/bin/python" -m pip install "$work/sources${EXTRAS:+[$EXTRAS]}"
    } >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        fail "the virtual environment could not be made; see above"
    }
    # Scripts name their interpreter by its final path.
    grep -rlIF "$new" "$new/bin" "$new/pyvenv.cfg" | xargs sed -i "s|$new|$PREFIX|g"
    rm -rf "$venv.old"
    [[ ! -e $venv ]] || mv "$venv" "$venv.old"
    mv "$new" "$venv"
    rm -rf "$venv.old"
    echo "installed   $PREFIX"
}

install_configuration() {
    local shipped=$checkout/systemd/safelight.toml target=$etc/safelight.toml
    install -d -m 0750 "$etc"
    if [[ ! -e $target ]]; then
        install -m 0640 "$shipped" "$target"
        echo "installed   ${target#"$DESTDIR"}: nobody may send until [dicom] accept names a sender"
    elif cmp -s "$shipped" "$target"; then
        rm -f "$target.new"
        echo "unchanged   ${target#"$DESTDIR"}"
    else
        install -m 0640 "$shipped" "$target.new"
        echo "kept        ${target#"$DESTDIR"}; the shipped one is beside it, safelight.toml.new"
    fi
}

install_unit() {
    local kind
    for kind in sysusers.d tmpfiles.d; do
        install -D -m 0644 "$checkout/systemd/$kind/safelight.conf" "$lib/$kind/safelight.conf"
    done
    install -d "$lib/systemd/system" "$DESTDIR/usr/local/bin"
    sed "s|/opt/safelight|$PREFIX|" "$checkout/systemd/safelight.service" \
        >"$lib/systemd/system/safelight.service"
    chmod 0644 "$lib/systemd/system/safelight.service"
    install -m 0644 "$checkout"/systemd/safelight{,-tls}.socket "$lib/systemd/system"
    ln -sfn "$PREFIX/bin/safelight" "$DESTDIR/usr/local/bin/safelight"
    echo "installed   /usr/local/lib/systemd/system/safelight.{service,socket}, /usr/local/bin/safelight"
}

# Makes the user and the data folder and tells systemd; on this machine only.
set_up_machine() {
    [[ -z $DESTDIR ]] || return 0
    systemd-sysusers "$lib/sysusers.d/safelight.conf"
    systemd-tmpfiles --create "$lib/tmpfiles.d/safelight.conf"
    echo "made        user safelight, /var/lib/safelight"
    # With SELinux (RHEL and its like), what was moved into place has its old label still.
    ! command -v restorecon >/dev/null || restorecon -R "$PREFIX" "$etc" "$lib"
    [[ ! -d /run/systemd/system ]] || systemctl daemon-reload
}

check
build_environment
install_configuration
install_unit
set_up_machine
if [[ -d /run/systemd/system ]] && systemctl --quiet is-active safelight; then
    echo "next        safelight config check && systemctl restart safelight"
else
    echo "next        edit /etc/safelight/safelight.toml, then: systemctl enable --now safelight.socket safelight"
fi
