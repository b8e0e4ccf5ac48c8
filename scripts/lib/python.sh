# The Python that the tests' clients run on, with the libraries they need, in a folder of its own. Sourced; the working
# directory is the checkout.

# require_test_python: makes target/python from the requirements of tests/grpc and tests/api, once for each content of them.
require_test_python() {
    local folder=$TARGET_DIR/python wanted="tests/grpc/requirements.txt tests/api/requirements.txt"
    # shellcheck disable=SC2086 # two names
    cat $wanted | cmp -s - "$folder/installed.txt" && "$folder/bin/python" -c "import grpc, schemathesis" 2>/dev/null && return 0
    require_packages "python3=command -v python3" "python3-venv=python3 -c 'import ensurepip, venv'"
    rm -rf "$folder"
    python3 -m venv "$folder"
    # Wheels only: grpcio's source takes half an hour to build.
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        -r tests/grpc/requirements.txt -r tests/api/requirements.txt
    # Last, so that what was interrupted is made anew.
    # shellcheck disable=SC2086 # two names
    cat $wanted > "$folder/installed.txt"
}
