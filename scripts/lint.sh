#!/bin/sh
# gofmt, go vet and staticcheck, for linux and for js/wasm. Says all that it
# finds before it fails.
. "$(dirname "$0")/env.sh"

failed=0
check() { # description, command…
	echo "$1"
	shift
	"$@" || failed=1
}

# shellcheck disable=SC2317 # called by check
formatted() {
	unformatted=$(find . -name '.?*' -prune -o -name node_modules -prune -o -name '*.go' -exec gofmt -l {} +)
	[ -z "$unformatted" ] || { echo "run gofmt -w on $unformatted" >&2 && return 1; }
}

# shellcheck disable=SC2317 # called by check
js() { GOOS=js GOARCH=wasm "$@"; }

# The drivers of the bench are a module of their own, which may be behind this one:
# what it lacks is added to a copy, as the bench does it.
# shellcheck disable=SC2317 # called by check
drivers() (
	for file in mod sum; do cp bench/drivers/go.$file .cache/drivers.$file; done
	GOFLAGS="$GOFLAGS -mod=mod -modfile=$PWD/.cache/drivers.mod"
	cd bench/drivers
	"$@" ./...
)

# Installed and not run with go run, which would build it for the target that it looks at.
tools=$PWD/.cache/tools
GOBIN=$tools go install "$STATICCHECK"

check 'gofmt' formatted
check 'go vet, linux' go vet ./...
# shellcheck disable=SC2086 # a list of packages
check 'go vet, js/wasm' js go vet $JS_PACKAGES
check 'staticcheck, linux' "$tools/staticcheck" ./...
check 'go vet, drivers of the bench' drivers go vet
check 'staticcheck, drivers of the bench' drivers "$tools/staticcheck"
# shellcheck disable=SC2086 # a list of packages
check 'staticcheck, js/wasm' js "$tools/staticcheck" $JS_PACKAGES
exit $failed
