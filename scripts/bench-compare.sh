#!/bin/sh
# The micro-benchmarks at REF and as they are here, uncommitted changes included, side by
# side by benchstat. Both are built first and take turns in ROUNDS (6; fewer say nothing),
# so that what else the machine does hits both. A benchmark that REF does not have is shown
# for here only. NAMES, a regular expression, chooses other ones than those below; TIME is
# how long each one runs in a round (100ms).
. "$(dirname "$0")/env.sh"

[ -n "${REF:-}" ] || { echo "make bench-compare REF=what to compare with: a commit, branch or tag" >&2 && exit 1; }
commit=$(git rev-parse --verify --quiet "$REF^{commit}") || { echo "there is no commit $REF here" >&2 && exit 1; }
short=$(git rev-parse --short "$commit")

# What needs neither a broker nor minutes. Commits to nutsdb wait for the disk, whose noise they show.
compared='persistence ^Benchmark(Encode|Decode|SetAdd)$
persistence/journal ^BenchmarkWrite$
persistence/memory ^BenchmarkQueue$
persistence/nutsdb ^BenchmarkQueue$
actors ^Benchmark(Enqueue|Drain)$
runtime ^BenchmarkRoute$
broker/mqtt ^Benchmark(AppendPublish|Frames)$
listener ^Benchmark(ReadPublish|AppendPublish|Publish)$'

work=$PWD/.cache/bench-compare
tree=$work/tree
tables=$work/tables
# shellcheck disable=SC2317 # called by trap
leave() { git worktree remove --force "$tree" 2>/dev/null || true; }
leave # of a run that was killed
rm -rf "$work"
mkdir -p "$tables"
trap leave EXIT
trap 'exit 130' INT TERM
git worktree add --quiet --force --detach "$tree" "$commit"

GOBIN=$work go install "$BENCHSTAT"

build() { # side, root
	echo "$compared" | while read -r package _; do
		[ -d "$2/$package" ] || continue
		(cd "$2/$package" && go test -c -o "$work/$1/$(echo "$package" | tr / -).test" .)
	done
}
echo "building $short and what is here"
build ref "$tree"
build here "$PWD"

run() { # side, root
	echo "$compared" | while read -r package names; do
		test=$work/$1/$(echo "$package" | tr / -).test
		[ -x "$test" ] || continue
		(cd "$2/$package" && "$test" -test.run '^$' -test.bench "${NAMES:-$names}" -test.benchtime "${TIME:-100ms}" -test.benchmem) </dev/null >>"$tables/$1" 2>&1 ||
			{ tail -n 20 "$tables/$1" >&2 && exit 1; }
	done
}
round=0
while [ "$round" -lt "${ROUNDS:-6}" ]; do
	round=$((round + 1))
	echo "round $round of ${ROUNDS:-6}"
	if [ $((round % 2)) = 1 ]; then
		run ref "$tree"
		run here "$PWD"
	else
		run here "$PWD"
		run ref "$tree"
	fi
done

cd "$tables"
"$work/benchstat" "$short=ref" here=here
