#!/bin/sh
# Speed and memory, each beside a bare append and fdatasync loop of the same run.
. "$(dirname "$0")/env.sh"

scripts/setup.sh
scripts/build.sh
go test -count=1 -timeout 0 -run '^$' -bench . ./bench/...
