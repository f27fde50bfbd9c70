# Two commands do everything: `make run` and `make test`. What they do stands in scripts/.

.DEFAULT_GOAL := help
.PHONY: build browser browser-crash run test lint fuzz-short crash books damage diskfull soak bench bench-compare dist dist-test screenshots notices clean help

build: ; @scripts/build.sh ## build bin/mqttdb
run: build ; @bin/mqttdb serve --demo ## build, then run the gateway with a demo sensor and broker (MQTTDB_BROKER=URL: a real one)
browser: ; @scripts/browser-package.sh ## build bin/browser, the npm package @mqttdb/browser, which any static server can serve
test: ; @scripts/test.sh ## install what the tests need, lint, and run every test
lint: ; @scripts/lint.sh ## gofmt, go vet and staticcheck, for linux and js/wasm
fuzz-short: ; @scripts/fuzz.sh ## fuzz every decoder for FUZZTIME (10s)
crash: ; @scripts/crash.sh ## kill -9 the real binary KILLS (20) times, and a matrix of MESSAGES (20000) and FAULTS (50) in each cell: nothing acknowledged is lost
browser-crash: ; @scripts/browser-crash.sh ## kill Chromium ROUNDS (30) times while a page publishes: nothing acknowledged is lost, 2 minutes
books: ; @scripts/books.sh ## HISTORIES (1000) random histories of a queue in memory, and as many on disk: the books balance (SEED=5: from the 5th on)
damage: ; @scripts/damage.sh ## FAULTS (1000) single faults on a store of 50,000 messages: each costs what it hit and no more
diskfull: ; @scripts/diskfull.sh ## fill the disk of the real binary CYCLES (50) times, under load and kill -9: nothing acknowledged is lost
soak: ; @BENCH="-only soak -soak $${MESSAGES:-10000000}" scripts/bench.sh ## rates, memory and start with 10,000 to MESSAGES (10000000) messages pending, 10 minutes
bench: ; @scripts/bench.sh ## speed and memory beside what bounds them and what users would pick instead, half an hour (BENCH=-short: a quick look)
dist: ; @scripts/dist.sh ## make what is released, in dist/: archives, Debian packages, checksums
bench-compare: ; @scripts/bench-compare.sh ## micro-benchmarks at REF beside those here, in ROUNDS (6) by turns, 5 minutes (NAMES=Encode: only these)
dist-test: ; @scripts/dist-test.sh ## make dist, then: the same bytes again, the Debian package in a copy of this machine, armv7 under qemu (KILLS=5)
screenshots: ; @scripts/screenshots.sh ## test the status page in Chromium and write docs/screenshots
notices: ; @scripts/notices.sh ## write THIRD_PARTY_NOTICES anew
clean: ; @rm -rf bin dist .cache ## remove what was built; the data in ./data stays
help: ; @sed -n 's/^\([a-z-]*\):.* ## \(.*\)/make \1\t\2/p' Makefile | expand -t 20 ## print this list
