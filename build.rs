//! Gives the shared library its SONAME, and keeps it mapped: handlers and waiters may run its code until the
//! process ends, so `dlclose` must not take it away.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libevshim.so.0");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
