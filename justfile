# `just` lists these; CI and people run the same ones.

set shell := ["bash", "-euo", "pipefail", "-c"]

default:
    @just --list --unsorted

# The whole test command of the README: installs what it needs, runs everything.
test-all:
    scripts/test

# Unit and in-process tests whose name holds PATTERN.
test PATTERN="":
    cargo nextest run --release --workspace {{ PATTERN }}

# Format everything.
fmt:
    cargo fmt --all

# What CI checks before it tests.
lint:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings

# Documentation, warnings denied.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

# Licences, advisories and banned crates.
deny:
    cargo deny check bans licenses sources

# Accept changed snapshots.
bless:
    INSTA_UPDATE=always cargo nextest run --release --workspace

# The story, in one command.
demo *ARGS:
    cargo run --release -- demo {{ ARGS }}

# Every claim, against the real parts.
prove *ARGS:
    scripts/prove {{ ARGS }}

# Ten minutes of everything going wrong at once; `just chaos --seed N` plays a schedule again.
chaos *ARGS:
    scripts/prove stores --only chaos --seconds 600 {{ ARGS }}

# What the pages say is proven, is there.
check-docs:
    scripts/check-docs

# The official conformance suite, directly and through the gateway.
conformance *ARGS:
    scripts/conformance {{ ARGS }}

# The speed table.
bench *ARGS:
    bench/run {{ ARGS }}

# Fuzz one target for a minute (needs a nightly toolchain and cargo-fuzz).
fuzz TARGET:
    cargo fuzz run --fuzz-dir fuzz {{ TARGET }} -- -max_total_time=60
