#!/bin/sh
# The long form of the test on a small real file system, whose short form is in make
# test: the disk of the real binary is filled CYCLES times, by itself and by others,
# under load, and the binary is killed meanwhile.
. "$(dirname "$0")/env.sh"

scripts/setup.sh
CYCLES=${CYCLES:-50} go test -count=1 -timeout 0 -v -run '^TestDiskFull$' ./internal/crash
