//! Links the module so that it is never unloaded.
//!
//! Threads of its own (the control socket) and calls that hang on purpose may be running when an application drops the module; their
//! code has to stay mapped.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
