#!/bin/sh
# Fuzzes every decoder for a moment: FUZZTIME each, 10s by default. What fails is
# written to the package's testdata/fuzz, where make test finds it from then on.
. "$(dirname "$0")/env.sh"

for package in $(go list ./...); do
	for name in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "$package $name"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-10s}" "$package"
	done
done
