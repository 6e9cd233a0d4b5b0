//! Compiles the eBPF programs with clang; the crate embeds the objects.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    let source =
        PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../bpf");
    let output = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-env-changed=CLANG");
    for entry in fs::read_dir(&source).expect("native/bpf exists").flatten() {
        println!("cargo::rerun-if-changed={}", entry.path().display());
    }
    for program in ["hooks", "lookup"] {
        compile(
            &source.join(format!("{program}.bpf.c")),
            &output.join(format!("{program}.o")),
        );
    }
}

fn compile(source: &PathBuf, object: &PathBuf) {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    // Debian keeps <asm/types.h> below the multiarch folder, where clang for the bpf target does not look.
    let multiarch = format!("/usr/include/{architecture}-linux-gnu");
    let status = Command::new(&clang)
        .args([
            "-g",
            "-O2",
            "-target",
            "bpf",
            "-mcpu=v3",
            "-Wall",
            "-Wextra",
            "-Wno-sign-compare",
            "-Werror",
        ])
        .args(["-idirafter", &multiarch, "-c"])
        .arg(source)
        .arg("-o")
        .arg(object)
        .status()
        .unwrap_or_else(|error| {
            panic!("{clang} does not start ({error}): install clang 14 or newer and libbpf-dev")
        });
    assert!(
        status.success(),
        "{clang} cannot compile {}",
        source.display()
    );
}
