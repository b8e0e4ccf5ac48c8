# Installs what is missing, with apt and by name. Sourced.

# require_packages NAME=TEST ...: installs each package whose shell TEST fails.
require_packages() {
    local missing=() entry
    for entry in "$@"; do
        eval "${entry#*=}" >/dev/null 2>&1 || missing+=("${entry%%=*}")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]}. Install them with this system's package manager and start again." >&2
        return 1
    elif [ "$(id -u)" -eq 0 ]; then
        echo "installing with apt: ${missing[*]}"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    elif command -v sudo >/dev/null; then
        echo "installing with apt: ${missing[*]}"
        sudo sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${missing[*]} >/dev/null"
    else
        printf 'missing: %s. Run this as root and start again:\n    %s\n' "${missing[*]}" "$install" >&2
        return 1
    fi
}

# What building and running needs.
require_run_packages() {
    if ! command -v cargo >/dev/null; then
        echo "Rust is missing: install it from https://rustup.rs and start again." >&2
        return 1
    fi
    require_packages \
        "gcc=command -v cc" \
        "pkg-config=command -v pkg-config" \
        "libsqlite3-dev=pkg-config --exists sqlite3" \
        "libpq-dev=pkg-config --exists libpq" \
        "haproxy=command -v haproxy" \
        "curl=command -v curl" \
        "procps=command -v pgrep"
}
