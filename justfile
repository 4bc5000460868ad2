# The everyday commands, for scripts/ and cargo. `just` without arguments lists them.

_list:
    @just --list --unsorted

# Serve on http://127.0.0.1:8080, with all data in ./notestamp-data
serve *settings:
    cargo run -p notestamp-server -- {{settings}}

# Serve with a real MongoDB and a real S3 server, which it starts
playground *settings:
    scripts/playground {{settings}}

# Check the code while you write
check:
    cargo check --workspace --all-features --all-targets

# Run the tests that need no other servers: just test --test api -- listing::
test *filter:
    cargo test --workspace --all-features {{filter}}

# Run all tests of the workspace, also those that need MongoDB and S3
test-services *filter:
    eval "$(scripts/services start)" && cargo test --workspace --all-features {{filter}} -- --include-ignored

# Run some of the browser tests: just test-browser two_tabs docs
test-browser *names:
    scripts/test browser {{names}}

# Run all tests
test-all:
    scripts/test

# Format the code, and run the lints
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

# Regenerate openapi/ after a change of the API
openapi:
    NOTESTAMP_UPDATE_OPENAPI=1 cargo test --workspace --all-features --test api -- openapi::
    scripts/check-openapi

# Open the documentation of the library
doc:
    cargo doc --no-deps --all-features -p notestamp-store --open

# What CI runs
ci:
    .ci/run
