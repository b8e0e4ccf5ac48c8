# The Python that the tests' clients run on, with the libraries they need, in a folder of its own. Sourced; the working
# directory is the checkout.

# require_test_python: makes target/python from tests/grpc/requirements.txt, once for each content of that file.
require_test_python() {
    local folder=$TARGET_DIR/python wanted=tests/grpc/requirements.txt
    cmp -s "$wanted" "$folder/installed.txt" && "$folder/bin/python" -c "import grpc" 2>/dev/null && return 0
    require_packages "python3=command -v python3" "python3-venv=python3 -c 'import ensurepip, venv'"
    rm -rf "$folder"
    python3 -m venv "$folder"
    # Wheels only: grpcio's source takes half an hour to build.
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$wanted"
    # Last, so that what was interrupted is made anew.
    cp "$wanted" "$folder/installed.txt"
}
