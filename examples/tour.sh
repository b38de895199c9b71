#!/usr/bin/env bash
# A real Kopia repository opened, its snapshots listed and one of them restored, without Kopia. ROKOPIA names a program that is
# built already.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${ROKOPIA:-}" ]; then
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
