//! What a root test needs beside root; without it the test is skipped, visibly.
//!
//! Tests that need root are `#[ignore = "needs root"]`, so that without root they are shown as ignored, not as passed.

use std::path::Path;

/// True when the tools are there; otherwise prints why the test is skipped.
///
/// # Panics
/// Without root: such a test is ignored unless somebody asks for it.
pub fn requires(tools: &[&str]) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    assert!(is_root, "needs root: run `cargo xtask test` as root");
    for tool in ["ip"].iter().chain(tools) {
        let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(tool).exists());
        if !found {
            return skip(&format!("needs the program `{tool}`"));
        }
    }
    true
}

/// As [`requires`], for tests of the walk over open sockets, which kernels before 5.11 do not let a program make.
///
/// # Panics
/// As [`requires`].
pub fn requires_walks(tools: &[&str]) -> bool {
    requires(tools)
        && (crate::btf::function("bpf_sock_from_file").is_ok()
            || skip("this kernel lacks sockets of files (bpf_sock_from_file)"))
}

/// Is this a machine of `cargo xtask vm`, where what belongs to the whole host may be changed?
pub fn own_machine() -> bool {
    // Written into its machines, and nowhere else.
    Path::new("/manifest.json").exists()
}

/// Says why a test is skipped, past the harness that hides the output of passing tests; always false.
pub fn skip(why: &str) -> bool {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    // Written to the descriptor itself: what `println!` prints in a passing test is never shown.
    let line = format!("SKIPPED: {name}: {why}\n");
    let _ = nix::unistd::write(std::io::stderr(), line.as_bytes());
    false
}
