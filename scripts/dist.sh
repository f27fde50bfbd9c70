#!/bin/sh
# Makes what is released, in dist/: archives for all systems, Debian packages for
# linux, the npm package for browsers, and their checksums. The same commit and Go give the same bytes.
#   DIST_VERSION=1.2.3    instead of the version of git describe
#   DIST_ONLY=linux/arm64 only that one (browser: the npm package)
. "$(dirname "$0")/env.sh"

limit=16777216 # bytes that a program for Linux may take: 16 MiB

commit=$(git rev-parse --short=12 HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
if [ -n "${DIST_VERSION:-}" ]; then
	version=$DIST_VERSION
elif tag=$(git describe --tags --match 'v[0-9]*' 2>/dev/null); then
	version=$(echo "${tag#v}" | sed 's/-/+/; s/-/./g')
else # nothing is released yet: later ones count as newer
	version=0.0.0+$(git rev-list --count HEAD).$commit
fi
if ! git diff --quiet HEAD; then
	version=$version.dirty
fi
date=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)

tools=$PWD/.cache/tools
if ! go version -m "$tools/nfpm" 2>/dev/null | grep -q "mod.*nfpm/v2.*${NFPM#*@}"; then
	GOBIN=$tools go install "$NFPM"
fi

rm -rf dist
mkdir -p dist/stage
out=$PWD/dist
# The page and the completions are the same for all; this one runs here.
host=dist/stage/mqttdb
CGO_ENABLED=0 go build -tags "$TAGS" -trimpath -ldflags "-s -w -X main.version=$version" -o $host ./cmd/native
mkdir -p dist/stage/man dist/stage/completions
scripts/manual.sh $host "$version" "$date" >dist/stage/man/mqttdb.1
for shell in bash zsh fish; do
	$host completion $shell >dist/stage/completions/mqttdb.$shell
done

# archive NAME FOLDER: a tar.gz that holds nothing of this machine.
archive() {
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --mode='u=rwX,go=rX' -C dist/stage -cf - "$2" | gzip -9n >"dist/$1.tar.gz"
}

# GOOS GOARCH GOARM, what it is called, the architecture of Debian, what is behind that in the file's name
while read -r goos goarch goarm label deb suffix; do
	case $goos/$goarch/${DIST_ONLY:-$goos/$goarch} in
	"$goos/$goarch/$goos/$goarch" | "$goos/$goarch/$label") ;;
	*) continue ;;
	esac
	[ "$goarm" != - ] || goarm=
	name=mqttdb_${version}_$label
	stage=dist/stage/$name
	mkdir -p "$stage"
	program=mqttdb
	[ "$goos" != windows ] || program=mqttdb.exe
	echo "$name"
	GOOS=$goos GOARCH=$goarch GOARM=$goarm CGO_ENABLED=0 go build -tags "$TAGS" -trimpath -ldflags "-s -w -X main.version=$version" -o "$stage/$program" ./cmd/native
	size=$(wc -c <"$stage/$program")
	if [ "$goos" = linux ] && [ "$size" -gt $limit ]; then
		echo "$name: the program takes $size bytes, more than $limit: look what was linked since (go tool nm -size)" >&2
		exit 1
	fi
	cp -r dist/stage/completions dist/stage/man LICENSE THIRD_PARTY_NOTICES README.md CHANGELOG.md "$stage"
	mkdir "$stage/docs"
	cp -r docs/*.md docs/brokers docs/grafana "$stage/docs"
	if [ "$goos" = linux ]; then
		cp packaging/mqttdb.service packaging/mqttdb.yaml "$stage"
	else
		echo "This program was compiled for $label, and never run there: the tests run on Linux. Nothing is promised." >"$stage/UNTESTED.txt"
	fi
	archive "$name" "$name"
	[ "$deb" != - ] || continue
	[ "$suffix" != - ] || suffix=
	cp -r packaging/nfpm.yaml packaging/debian "$stage"
	mv "$stage/debian/copyright" "$stage"
	gzip -9n "$stage/man/mqttdb.1"
	find "$stage/docs" -type f -exec chmod 644 {} +
	(cd "$stage" && DEB_ARCH=$deb DEB_VERSION=$version "$tools/nfpm" package -f nfpm.yaml -p deb -t "$out/mqttdb_${version}_$deb$suffix.deb" >/dev/null)
done <<'END'
linux amd64 - linux_amd64 amd64 -
linux arm64 - linux_arm64 arm64 -
linux arm 7 linux_armv7 armhf -
linux arm 6 linux_armv6 armhf -armv6
windows amd64 - windows_amd64_untested - -
darwin amd64 - darwin_amd64_untested - -
darwin arm64 - darwin_arm64_untested - -
END
if [ "${DIST_ONLY:-browser}" = browser ]; then # for npm, which wants it in a folder of that name
	echo "mqttdb-browser-$version"
	VERSION=$version scripts/browser-package.sh dist/stage/package
	archive "mqttdb-browser-$version" package
	mv "dist/mqttdb-browser-$version.tar.gz" "dist/mqttdb-browser-$version.tgz"
fi
rm -rf dist/stage
(cd dist && sha256sum -- * >../.cache/SHA256SUMS && mv ../.cache/SHA256SUMS SHA256SUMS)
ls -l dist
