//! `cargo run -p uniffi-bindgen -- generate …`: writes the foreign sources of a built library.

fn main() {
    uniffi::uniffi_bindgen_main();
}
