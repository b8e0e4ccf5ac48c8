# What the tests' wallet runs on: Node and the official Sui library, in a folder of its own. Sourced; the working directory is the
# checkout.

# require_test_wallet: makes target/wallet from tests/wallet/package-lock.json, once for each content of that file. Without Node it
# says so, and the test does, too.
require_test_wallet() {
    local folder=$TARGET_DIR/wallet wanted=tests/wallet/package-lock.json
    if ! command -v npm >/dev/null; then
        echo "NOT RUN: node and npm are not installed: sign-in is not tried with the official library (apt-get install nodejs npm)"
        return 0
    fi
    cmp -s "$wanted" "$folder/installed.json" && return 0
    rm -rf "$folder"
    mkdir -p "$folder"
    cp tests/wallet/package.json "$wanted" "$folder/"
    # The library asks for Node 22 and works with 20 all the same; none of its parts runs a script of its own.
    npm ci --prefix "$folder" --no-audit --no-fund --ignore-scripts --loglevel=error
    # Last, so that what was interrupted is made anew.
    cp "$wanted" "$folder/installed.json"
}
