#!/usr/bin/env bash
# A real Kopia repository opened, its snapshots listed and one of them restored, without Kopia. ROKOPIA names the program, or
# else it is the one on PATH; without either it is built first.
set -euo pipefail
cd "$(dirname "$0")/.."
ROKOPIA="${ROKOPIA:-$(command -v rokopia || true)}"
if [ -z "$ROKOPIA" ]; then
    echo "rokopia is not installed: building it, which takes some minutes" >&2
    cargo build --locked
    ROKOPIA="${CARGO_TARGET_DIR:-target}/debug/rokopia"
fi
target="$(mktemp -d)"
trap 'rm -rf "$target"' EXIT
export ROKOPIA_REPOSITORY=testdata/basic/repo ROKOPIA_PASSWORD=rokopia
for command in status snapshots "ls -l latest" "restore latest $target"; do
    echo "\$ rokopia $command"
    # shellcheck disable=SC2086 -- the words are separate arguments
    "$ROKOPIA" $command
done
echo "\$ ls -l $target"
ls -l "$target"
