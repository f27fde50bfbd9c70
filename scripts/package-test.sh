#!/bin/sh
# Installs, upgrades, downgrades, removes and purges the Debian package in a copy of this
# machine: an overlay over its root in namespaces of its own, so that nothing of the
# machine is changed, whatever the package does. What systemd would do is done by a
# stand-in (packaging/test/systemctl), since there is none in the copy.
#   scripts/package-test.sh OLD.deb NEW.deb     versions 0.1.0 and 0.2.0
set -eu

if [ "${1:-}" != --inside ]; then
	cd "$(dirname "$0")/.."
	if [ "$(id -u)" != 0 ] || ! command -v dpkg >/dev/null; then
		echo "the test of the package needs Debian and its root" >&2
		exit 1
	fi
	if dpkg -s mqttdb >/dev/null 2>&1; then
		echo "mqttdb is installed here: test the package on another machine" >&2
		exit 1
	fi
	exec timeout -s KILL 120 unshare --mount --net --ipc --uts --pid --fork --kill-child "$0" --inside "$1" "$2"
fi

if [ "${4:-}" = '' ]; then # not in the copy yet
	w=$(mktemp -d)
	mount -t tmpfs overlay "$w"
	mkdir "$w/upper" "$w/work" "$w/root"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$w/upper,workdir=$w/work" "$w/root"
	for dir in run tmp; do mount -t tmpfs $dir "$w/root/$dir"; done
	mount -t proc proc "$w/root/proc"
	mount --rbind /dev "$w/root/dev"
	chmod 1777 "$w/root/tmp"
	cp "$2" "$w/root/tmp/old.deb"
	cp "$3" "$w/root/tmp/new.deb"
	cp "$0" "$w/root/tmp/test"
	rm -f "$w/root/usr/sbin/policy-rc.d"
	mv "$w/root/usr/bin/systemctl" "$w/root/usr/bin/systemctl.real"
	install -m 755 packaging/test/systemctl "$w/root/usr/bin/systemctl"
	mkdir -p "$w/root/run/systemd/system"
	ip link set lo up
	exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$w/root" /tmp/test --inside /tmp/old.deb /tmp/new.deb here
fi

fail() {
	echo "the package: $*" >&2
	cat /tmp/log /run/mqttdb.log >&2 2>/dev/null || true
	exit 1
}
is() { # what, is, should be
	[ "$2" = "$3" ] || fail "$1 is $2, not $3"
}
# answers waits until the gateway answers, as an operator would.
answers() {
	tries=0
	until mqttdb status >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || fail "the gateway does not answer"
		sleep .1
	done
}
pending() { mqttdb status --json | tr -d ' \n' | grep -o '"name":"cloud".*' | grep -o '"pending":[0-9]*' | sed 's/.*://; q'; }
pid() { cat /run/mqttdb.pid; }

echo "install"
dpkg -i /tmp/old.deb >/tmp/log 2>&1 || { cat /tmp/log; fail "it cannot be installed"; }
answers
is "the owner of the data" "$(stat -c '%U:%G %a' /var/lib/mqttdb)" "mqttdb:mqttdb 700"
is "the owner of the configuration" "$(stat -c '%U:%G %a' /etc/mqttdb/mqttdb.yaml)" "root:mqttdb 640"
is "the folder of the configuration" "$(stat -c '%U:%G %a' /etc/mqttdb)" "root:mqttdb 750"
is "the user of the gateway" "$(stat -c %U "/proc/$(pid)")" mqttdb
is "the version" "$(mqttdb version)" "mqttdb 0.1.0"
[ -L /etc/systemd/system/multi-user.target.wants/mqttdb.service ] || fail "it is not enabled"
[ -e /usr/share/doc/mqttdb/THIRD_PARTY_NOTICES ] || fail "the notices are missing"
if command -v systemd-analyze >/dev/null; then
	systemd-analyze verify --man=no /usr/lib/systemd/system/mqttdb.service 2>&1 | grep mqttdb && fail "systemd does not like the unit"
	systemd-analyze security --offline=true --threshold=20 /usr/lib/systemd/system/mqttdb.service >/tmp/log || fail "the unit is not hardened: $(tail -1 /tmp/log)"
fi

echo "use"
cat >>/etc/mqttdb/mqttdb.yaml <<'END'
connections:
  cloud: {broker: "mqtt://127.0.0.1:1"}
END
before=$(pid)
systemctl reload mqttdb.service
tries=0
until [ "$(pending)" = 0 ]; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || fail "the connection does not come"
	sleep .1
done
is "the process after a reload" "$(pid)" "$before"
for n in 1 2 3 4 5 6 7 8 9 10; do mqttdb pub --qos 1 "t/$n" "$n" >/dev/null; done
is "pending" "$(pending)" 10
config=$(sha256sum </etc/mqttdb/mqttdb.yaml)

kept() { # step
	answers
	is "pending after $1" "$(pending)" 10
	is "the configuration after $1" "$(sha256sum </etc/mqttdb/mqttdb.yaml)" "$config"
	is "its owner after $1" "$(stat -c '%U:%G %a' /etc/mqttdb/mqttdb.yaml)" "root:mqttdb 640"
}
for step in upgrade downgrade; do
	echo "$step"
	before=$(pid)
	[ $step = upgrade ] && deb=/tmp/new.deb version=0.2.0 || deb=/tmp/old.deb version=0.1.0
	dpkg -i --force-downgrade $deb >/tmp/log 2>&1 || { cat /tmp/log; fail "$step fails"; }
	[ "$(pid)" != "$before" ] || fail "the gateway was not started again by $step"
	kept $step
	is "the version after $step" "$(mqttdb version)" "mqttdb $version"
	is "the program that runs after $step" "$(readlink "/proc/$(pid)/exe")" /usr/bin/mqttdb
done

echo "disabled by the administrator: stays so"
rm /etc/systemd/system/multi-user.target.wants/mqttdb.service
dpkg -i /tmp/new.deb >/tmp/log 2>&1 || fail "$(cat /tmp/log)"
[ ! -L /etc/systemd/system/multi-user.target.wants/mqttdb.service ] || fail "an upgrade has enabled it again"

echo "remove"
dpkg -r mqttdb >/tmp/log 2>&1 || { cat /tmp/log; fail "it cannot be removed"; }
[ ! -e /run/mqttdb.pid ] || fail "it runs on when it is removed"
[ ! -e /usr/bin/mqttdb ] || fail "the program is still there"
[ -e /var/lib/mqttdb/cloud ] && [ -e /etc/mqttdb/mqttdb.yaml ] || fail "removing it has removed what is stored"

echo "install again"
dpkg -i /tmp/new.deb >/tmp/log 2>&1 || { cat /tmp/log; fail "it cannot be installed again"; }
systemctl start mqttdb.service
kept "installing it again"

echo "purge"
dpkg -P mqttdb >/tmp/log 2>&1 || { cat /tmp/log; fail "it cannot be purged"; }
[ ! -e /run/mqttdb.pid ] || fail "it runs on when it is purged"
for left in /var/lib/mqttdb /etc/mqttdb /usr/bin/mqttdb /etc/systemd/system/multi-user.target.wants/mqttdb.service; do
	[ ! -e $left ] && [ ! -L $left ] || fail "$left is left after purge"
done
if id mqttdb >/dev/null 2>&1; then fail "the user is left after purge"; fi
echo "the package installs, starts, keeps its data over upgrade, downgrade and removal, and purge removes all"
