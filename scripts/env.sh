# shellcheck shell=sh
# Sourced by every script here: goes to the root of the repository and sees to
# it that Go is found and has somewhere to keep its caches.
set -eu
cd "$(dirname "$0")/.."

. scripts/versions.env
. scripts/packages.env

# Where distributions and the Go archive put things, for a PATH without them.
PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin
export PATH

if ! command -v go >/dev/null; then
	echo "go is missing: install the Go release that go.mod names, or a later one, and put it on the PATH" >&2
	exit 1
fi

# The version comes from git describe (build.sh), not from Go's own stamp,
# which fails in a checkout that belongs to another user.
GOFLAGS="${GOFLAGS:-} -buildvcs=false"

# Without a home directory Go has no place for its caches; make clean removes these.
if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then
	HOME=$PWD/.cache
	mkdir -p "$HOME"
	export HOME
	GOFLAGS="$GOFLAGS -modcacherw"
fi
export GOFLAGS
