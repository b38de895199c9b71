#!/usr/bin/env bash
# A real Kopia repository opened, its snapshots listed and one of them restored, without Kopia.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked
target="$(mktemp -d)"
trap 'rm -rf "$target"' EXIT
export ROKOPIA_REPOSITORY=testdata/basic/repo ROKOPIA_PASSWORD=rokopia
for command in status snapshots "ls -l latest" "restore latest $target"; do
    echo "\$ rokopia $command"
    # shellcheck disable=SC2086 -- the words are separate arguments
    "${CARGO_TARGET_DIR:-target}/debug/rokopia" $command
done
echo "\$ ls -l $target"
ls -l "$target"
