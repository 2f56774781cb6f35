//! The first root of a virtual machine: one archive that all share, and one per kernel.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use vm_guest::protocol::{MANIFEST, Manifest};

use super::cpio::Archive;
use super::modules::Module;
use super::programs::Programs;
use super::{foreign, host_programs};
use crate::arch::Arch;

/// Where the programs under test lie.
pub const PROGRAMS: &str = "/t";

/// Writes what is the same for every kernel: init, the programs under test, programs of this machine, or of the
/// packages that were unpacked for another processor.
pub fn write_common(
    file: &Path,
    programs: &Programs,
    packages: Option<(&Path, Arch)>,
) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(create(file)?));
    // The kernel gives init these before anything is mounted.
    archive.device("/dev/console", 5, 1)?;
    archive.device("/dev/null", 1, 3)?;
    for folder in ["/proc", "/sys", "/tmp", "/run", "/root", "/etc"] {
        archive.folder(folder)?;
    }
    archive.file("/init", 0o755, &read(&programs.guest)?)?;
    for path in &programs.under_test {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("{PROGRAMS}/{name}"), 0o755, &read(path)?)?;
    }
    match packages {
        Some((tree, arch)) => foreign::pack(tree, arch, &mut archive)?,
        None => pack_of_this_machine(&mut archive)?,
    }
    archive.finish()?.flush()?;
    Ok(())
}

fn pack_of_this_machine(archive: &mut Archive<impl Write>) -> Result<()> {
    // Where this machine has merged /usr, programs are found under both names.
    for name in ["bin", "sbin", "lib", "lib64"] {
        let place = Path::new("/").join(name);
        if let Ok(target) = fs::read_link(&place) {
            archive.link(&format!("/{name}"), &target.to_string_lossy())?;
        }
    }
    for path in host_programs::files()? {
        // A link's path stays, its content is packed: no link has to be followed inside.
        let place = real_folder(&path);
        archive.file(&place, 0o755, &read(&path)?)?;
    }
    Ok(())
}

/// Writes what one kernel needs: its modules and its manifest. The manifest's `modules` are set here.
pub fn write_own(file: &Path, modules: &[Module], manifest: &Manifest) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(create(file)?));
    let mut manifest = manifest.clone();
    for module in modules {
        let path = format!("/modules/{}.ko", module.name);
        archive.file(&path, 0o644, &module.content)?;
        manifest.modules.push(path);
    }
    archive.file(MANIFEST, 0o644, &serde_json::to_vec(&manifest)?)?;
    archive.finish()?.flush()?;
    Ok(())
}

/// Appends archives: the kernel unpacks them one after the other.
pub fn join(parts: &[&Path], into: &Path) -> Result<()> {
    let mut out = create(into)?;
    for part in parts {
        let mut part =
            File::open(part).with_context(|| format!("cannot read {}", part.display()))?;
        std::io::copy(&mut part, &mut out)
            .with_context(|| format!("cannot write {}", into.display()))?;
    }
    Ok(())
}

/// The path with its folder resolved: a folder that is a link here is one there too.
fn real_folder(path: &Path) -> String {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let name = path.file_name().unwrap_or_default();
    let real = folder.map_or_else(|| path.to_path_buf(), |folder| folder.join(name));
    real.to_string_lossy().into_owned()
}

fn create(file: &Path) -> Result<File> {
    File::create(file).with_context(|| format!("cannot write {}", file.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
