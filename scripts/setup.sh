#!/bin/sh
# Installs what the tests need and this machine lacks: a real broker with its
# clients, an HTTP proxy, npm, Chromium, and a C compiler for the race detector. Starts no
# service. It needs no Go, so that it works under sudo too.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

packages=
need() { # program, Debian packages
	command -v "$1" >/dev/null || packages="$packages $2"
}
need mosquitto mosquitto
need mosquitto_pub mosquitto-clients
need tinyproxy tinyproxy-bin # without the service that the package tinyproxy has
need npm npm # for the MQTT clients of scripts/clients.sh
need chromium chromium # looks at the status page
need "${CC:-gcc}" 'gcc libc6-dev'
if [ "${1:-}" = qemu ]; then # for scripts/dist-test.sh
	need qemu-arm-static qemu-user-static
	need ip iproute2
fi
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "the tests need these Debian packages, or what your system calls them:$packages" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "the tests need more than this machine has; run: sudo scripts/setup.sh" >&2
	exit 1
fi

# Debian starts a service that it installs, unless policy-rc.d forbids it. The
# tests run brokers of their own, and a machine must not get one by testing.
had_broker=$(command -v mosquitto || true)
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi

echo "installing$packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null || true # an old list may do
# shellcheck disable=SC2086 # a list of names
apt-get install -y -q --no-install-recommends $packages >/dev/null

# Nor at the next start of the machine.
if [ -z "$had_broker" ] && command -v systemctl >/dev/null; then
	systemctl --quiet disable mosquitto.service || true
fi
