# The commands of every day, over scripts/ and cargo. `just` alone lists them.

_list:
    @just --list --unsorted

# Serve on http://127.0.0.1:8080, with everything in ./notestamp-data
serve *settings:
    cargo run -p notestamp-server -- {{settings}}

# Serve over a real MongoDB and a real S3, which are started for it
playground *settings:
    scripts/playground {{settings}}

# Check as you write
check:
    cargo check --workspace --all-features --all-targets

# Run the tests of the workspace that need no servers: just test --test api -- listing::
test *filter:
    cargo test --workspace --all-features {{filter}}

# Run the tests that need MongoDB and S3 as well
test-services *filter:
    eval "$(scripts/services start)" && cargo test --workspace --all-features {{filter}} -- --include-ignored

# Run some of the browser tests: just test-browser two_tabs docs
test-browser *names:
    scripts/test browser {{names}}

# Run all tests
test-all:
    scripts/test

# Format, and say what the lints say
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

# Write openapi/ anew after a change of the API
openapi:
    NOTESTAMP_UPDATE_OPENAPI=1 cargo test --workspace --all-features --test api -- openapi::
    scripts/check-openapi

# Open the documentation of the library
doc:
    cargo doc --no-deps --all-features -p notestamp-store --open

# What CI runs
ci:
    .ci/run
