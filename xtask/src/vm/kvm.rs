//! Whether KVM works on this machine: only a machine that reaches init shows it.
//!
//! Where it hangs, each try costs seconds of silence. So a failure is remembered, until this machine is booted
//! anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known so far.
pub struct Trial {
    may_work: AtomicBool,
    /// Holds the boot in which it failed last.
    file: PathBuf,
}

impl Trial {
    /// `cache` is where the kernels lie.
    pub fn new(cache: &Path) -> Self {
        let file = cache.join("kvm-fails");
        let failed = this_boot().is_some_and(|boot| fs::read_to_string(&file).ok() == Some(boot));
        Self {
            may_work: AtomicBool::new(!failed && can_open()),
            file,
        }
    }

    pub fn may_work(&self) -> bool {
        self.may_work.load(Ordering::Relaxed)
    }

    /// A machine has died under KVM before init.
    pub fn failed(&self) {
        self.may_work.store(false, Ordering::Relaxed);
        if let Some(boot) = this_boot() {
            // Without it the next run only loses seconds.
            let _ = fs::write(&self.file, boot);
        }
    }
}

fn can_open() -> bool {
    let device = fs::File::options().read(true).write(true).open("/dev/kvm");
    device.is_ok()
}

/// What names this boot of this machine.
fn this_boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_for_this_boot_alone() {
        let cache = tempfile::tempdir().expect("a folder");
        let first = Trial::new(cache.path());
        assert_eq!(first.may_work(), can_open());
        first.failed();
        assert!(!first.may_work() && !Trial::new(cache.path()).may_work());
        fs::write(cache.path().join("kvm-fails"), "another boot\n").expect("our folder");
        assert_eq!(Trial::new(cache.path()).may_work(), can_open());
    }
}
