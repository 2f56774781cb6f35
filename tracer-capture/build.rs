//! Builds the BPF programs, so that the program can carry them inside (`OUT_DIR/sendtrace-ebpf`, and
//! `OUT_DIR/sendtrace-debug-ebpf` for `--debug-bpf`).

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow};
use aya_build::{Package, Toolchain};

const PACKAGES: [&str; 2] = ["tracer-ebpf", "tracer-ebpf-debug"];
const LINKER: &str = "bpf-linker";

fn main() {
    if let Err(error) = build() {
        // Cargo fails the build for this line and shows it alone; an exit status would add a page.
        println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
    }
}

fn build() -> Result<()> {
    if !on_path(LINKER) {
        return Err(anyhow!(
            "{LINKER} is not on PATH: run `cargo xtask build`, which sets it up and builds both sides"
        ));
    }

    let metadata = cargo_metadata::MetadataCommand::new()
        .no_deps()
        .exec()
        .context("cannot ask cargo where the crates of this workspace are")?;
    let root_dir = |name: &str| {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name.as_str() == name);
        let dir = package.and_then(|package| package.manifest_path.parent());
        dir.with_context(|| format!("the workspace has no crate {name}"))
    };

    // aya-build itself watches the BPF programs; the wire types and the profiles shape it as well.
    println!("cargo:rerun-if-changed={}", root_dir("tracer-common")?);
    println!(
        "cargo:rerun-if-changed={}",
        metadata.workspace_root.join("Cargo.toml")
    );
    println!(
        "cargo:rerun-if-changed={}",
        metadata.workspace_root.join("Cargo.lock")
    );
    println!("cargo:rerun-if-changed=build.rs");

    let toolchain = toolchain()?;
    let root_dirs = [root_dir(PACKAGES[0])?, root_dir(PACKAGES[1])?];
    let packages = PACKAGES.iter().zip(&root_dirs);
    let packages = packages.map(|(name, root_dir)| Package {
        name,
        root_dir: root_dir.as_str(),
        ..Package::default()
    });
    // SAFETY: a build script has one thread here.
    unsafe {
        // `-Z build-std=core` on a stable toolchain, for the one cargo call below and nothing else.
        env::set_var("RUSTC_BOOTSTRAP", "1");
        // aya-build turns each line of progress into a warning; diagnostics still come through.
        env::set_var("CARGO_TERM_QUIET", "true");
    }
    aya_build::build_ebpf(packages, Toolchain::Custom(&toolchain))
        .context("the BPF programs did not build; what its compiler said is above")
}

/// The toolchain that builds the program builds the BPF programs too: the linker is linked against
/// its LLVM. rustup names it; without rustup there is only one, and aya-build ignores the name.
fn toolchain() -> Result<String> {
    if let Ok(name) = env::var("RUSTUP_TOOLCHAIN") {
        return Ok(name);
    }
    let rustc = env::var_os("RUSTC").context("cargo did not say which rustc it uses")?;
    let version = Command::new(rustc)
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let release = version
        .lines()
        .find_map(|line| line.strip_prefix("release: "));
    Ok(release.context("`rustc -vV` names no release")?.to_owned())
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
