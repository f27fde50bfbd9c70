#!/bin/sh
# The long form of the damage test, whose short form is in make test: FAULTS single
# faults, each on a copy of a store of 50,000 messages.
. "$(dirname "$0")/env.sh"

FAULTS=${FAULTS:-1000} go test -count=1 -timeout 0 -v -run '^TestFaults' ./persistence/nutsdb
