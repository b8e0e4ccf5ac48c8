# Builds the binary and the module for both Lua versions. Sourced; the working directory is the checkout.

TARGET_DIR=${CARGO_TARGET_DIR:-target}

# build_module LUA FEATURES FOLDER: builds the module into FOLDER/libsuiftly-luaX.Y.so.
build_module() {
    local lua=$1 features=$2 folder=$3
    cargo build --release --locked -p dataplane --features "$features"
    mkdir -p "$folder"
    put_in_place "$TARGET_DIR/release/libdataplane.so" "$folder/libsuiftly-lua$lua.so"
}

# put_in_place FROM TO: by rename, since a running HAProxy has the old file mapped and must not see it change.
put_in_place() {
    cmp -s "$1" "$2" && return 0
    cp "$1" "$2.new.$$"
    mv -f "$2.new.$$" "$2"
}

build_all() {
    cargo build --release --locked -p controlplane
    build_module 5.3 lua53 "$TARGET_DIR/modules"
    build_module 5.4 lua54 "$TARGET_DIR/modules"
}
