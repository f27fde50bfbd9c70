#!/bin/sh
# Everything that must hold before a change is taken. Goes on after a step that
# fails, so that one run shows all there is to mend; fails at the end.
. "$(dirname "$0")/env.sh"

failed=
step() { # name, command…
	name=$1
	shift
	printf '\n== %s\n' "$name"
	start=$(date +%s)
	"$@" || failed="$failed, $name"
	echo "-- $name: $(($(date +%s) - start)) s"
}

# Without these nothing else is worth starting.
scripts/setup.sh
scripts/build.sh
go build ./...
# shellcheck disable=SC2086 # a list of packages
GOOS=js GOARCH=wasm go build $JS_PACKAGES

step lint scripts/lint.sh
# The short form of scripts/crash.sh and the seeds of the fuzz tests are among these.
step tests go test -count=1 -timeout 8m ./...
step node-red scripts/node-red.sh
# shellcheck disable=SC2086
step race go test -count=1 -timeout 8m -race $RACE_PACKAGES

[ -z "$failed" ] || {
	printf '\nfailed: %s\n' "${failed#, }" >&2
	exit 1
}
printf '\nall passed\n'
