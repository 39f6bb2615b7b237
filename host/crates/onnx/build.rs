//! Keeps the program loadable by the oldest glibc that it promises: see `glibc.c`.

fn main() {
    println!("cargo:rerun-if-changed=glibc.c");
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|environment| environment == "gnu") {
        cc::Build::new()
            .file("glibc.c")
            .flag_if_supported("-fno-builtin-hypot")
            .flag_if_supported("-fno-builtin-hypotf")
            .link_lib_modifier("+whole-archive")
            .compile("pliant_glibc");
    }
}
