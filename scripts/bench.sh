#!/bin/sh
# Speed and memory, each beside what bounds it: BENCH=-short for a quick look, BENCH=-h for more.
. "$(dirname "$0")/env.sh"

scripts/setup.sh
# shellcheck disable=SC2086 # a list of flags
go run ./bench ${BENCH:-}
