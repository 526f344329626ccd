#!/bin/bash
# Removes what systemd/install.sh installed; leaves configuration and data.
# `make uninstall` calls it, with the same PREFIX and DESTDIR.
set -euo pipefail

PREFIX=${PREFIX:-/opt/safelight}
DESTDIR=${DESTDIR:-}
venv=$DESTDIR$PREFIX
lib=$DESTDIR/usr/local/lib
link=$DESTDIR/usr/local/bin/safelight

fail() {
    echo "make uninstall: $*" >&2
    exit 1
}

[[ -n $DESTDIR || $(id -u) == 0 ]] || fail "must be run as root: sudo make uninstall"
[[ ! -e $venv || -x $venv/bin/safelight ]] || fail "$venv is no installation of Safelight"

if [[ -z $DESTDIR && -d /run/systemd/system ]]; then
    systemctl disable --now safelight{,-tls}.socket safelight.service 2>/dev/null || true
fi
rm -rf "$venv"
rm -f "$lib"/{sysusers.d,tmpfiles.d}/safelight.conf "$lib/systemd/system"/safelight{.service,.socket,-tls.socket}
[[ $(readlink "$link") != "$PREFIX/bin/safelight" ]] || rm -f "$link"
if [[ -z $DESTDIR && -d /run/systemd/system ]]; then
    systemctl daemon-reload
fi
echo "removed     $PREFIX, the units, /usr/local/bin/safelight"
echo "left        /etc/safelight (configuration), /var/lib/safelight (data), the user safelight"
