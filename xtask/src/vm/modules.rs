//! Kernel modules: which are wanted, what they need, in which order they are loaded.
//!
//! What a module needs stands in the module (`.modinfo`), so no `depmod` has to have been run. Modules that
//! are built in, or that a kernel does not have, are passed over: what needs them says so itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Without the names of what they need.
pub const WANTED: &[&str] = &[
    // Devices
    "veth",
    "dummy",
    "tun",
    "8021q",
    // A card that a test can make hang.
    "vmxnet3",
    // Queues and what is attached to them
    "sch_netem",
    "sch_tbf",
    "sch_htb",
    "sch_prio",
    "sch_fq",
    "sch_fq_codel",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    // nftables
    "nf_tables",
    "nft_numgen",
    "nft_counter",
    "nft_limit",
    "nft_reject",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_ct",
    // Sockets
    "tls",
    // The ciphers of kTLS, which the kernel would ask modprobe for.
    "ctr",
    "gcm",
    "ghash_generic",
    "aesni_intel",
    "can",
    "can_raw",
    "can_isotp",
    "vcan",
    // Senders inside the kernel
    "nbd",
    "nfs",
    "nfsv3",
    "nfsv4",
    // Answers about sockets
    "tcp_diag",
    "udp_diag",
    "unix_diag",
];

/// A module that is ready to be loaded.
pub struct Module {
    pub name: String,
    /// The file, not compressed.
    pub content: Vec<u8>,
}

/// The wanted modules and what they need, in the order to load them.
///
/// # Errors
/// When a file cannot be read, or the program that unpacks it is missing.
pub fn load_order(dir: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let files = files(dir)?;
    let mut order = Order {
        files: &files,
        aliases: None,
        seen: BTreeSet::new(),
        modules: Vec::new(),
    };
    for name in wanted.iter().map(|name| normal(name)) {
        if files.contains_key(&name) {
            order.visit(&name)?;
        }
    }
    Ok(order.modules)
}

struct Order<'a> {
    files: &'a BTreeMap<String, PathBuf>,
    /// Read when the first is asked for: they stand in the modules.
    aliases: Option<Aliases>,
    seen: BTreeSet<String>,
    modules: Vec<Module>,
}

/// The modules that serve a name which is none of a module.
type Aliases = BTreeMap<String, Vec<String>>;

impl Order<'_> {
    fn visit(&mut self, name: &str) -> Result<()> {
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let Some(file) = self.files.get(name) else {
            let serving = self.aliases()?.get(name).cloned().unwrap_or_default();
            return serving.iter().try_for_each(|name| self.visit(name));
        };
        let content = read(file)?;
        for needed in needs(&content) {
            self.visit(&needed)?;
        }
        self.modules.push(Module {
            name: name.to_owned(),
            content,
        });
        Ok(())
    }

    /// What needs a cipher or a checksum names the algorithm, not the module: on Debian's generic kernels nf_tables
    /// cannot be loaded without `crc32c`, which is `crc32c_generic`. No other aliases are needed, and to read all
    /// modules for theirs would take longer than to boot.
    fn aliases(&mut self) -> Result<&Aliases> {
        if self.aliases.is_none() {
            let mut aliases = Aliases::new();
            let crypto = |path: &Path| path.iter().any(|folder| folder == "crypto");
            for (name, file) in self.files.iter().filter(|(_, file)| crypto(file)) {
                for alias in entries(&read(file)?, "alias=") {
                    aliases.entry(normal(alias)).or_default().push(name.clone());
                }
            }
            self.aliases = Some(aliases);
        }
        Ok(self.aliases.get_or_insert_default())
    }
}

/// Hyphens and underscores are the same in the name of a module.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// Every module below a folder by its name.
fn files(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            // `build` and `source` lead to the headers.
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Some(name) = module_name(&path) {
                found.insert(name, path);
            }
        }
    }
    Ok(found)
}

fn module_name(path: &Path) -> Option<String> {
    let (name, rest) = path.file_name()?.to_str()?.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"]
        .contains(&rest)
        .then(|| normal(name))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(file).with_context(|| format!("cannot read {}", file.display())),
    };
    let output = Command::new(program).arg("-dc").arg(file).output();
    let output = output.with_context(|| {
        format!("modules of this kernel are packed with {program}, which is not installed")
    })?;
    if !output.status.success() {
        bail!("{program} cannot unpack {}", file.display());
    }
    Ok(output.stdout)
}

/// From `depends=a,b` and `softdep=pre: c post: d`: what has to be there before.
fn needs(module: &[u8]) -> Vec<String> {
    let names = |list: &str| -> Vec<String> { list.split(',').map(normal).collect() };
    let mut needs: Vec<String> = entries(module, "depends=").flat_map(names).collect();
    for soft in entries(module, "softdep=") {
        let mut before = false;
        for word in soft.split_whitespace() {
            match word {
                "pre:" => before = true,
                "post:" => before = false,
                name if before => needs.push(normal(name)),
                _ => {}
            }
        }
    }
    needs.retain(|name| !name.is_empty());
    needs
}

/// The values of one kind among what a module says of itself (`.modinfo`: texts that end with a zero).
fn entries<'a>(module: &'a [u8], kind: &'a str) -> impl Iterator<Item = &'a str> {
    let texts = module.split(|byte| *byte == 0);
    texts.filter_map(move |text| std::str::from_utf8(text).ok()?.strip_prefix(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(modules: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (file, info) in modules {
            if let Some((folder, _)) = file.rsplit_once('/') {
                fs::create_dir_all(dir.path().join(folder)).expect("a folder");
            }
            let content = format!("\u{1}code\0{}\0more", info.replace(';', "\0"));
            fs::write(dir.path().join(file), content).expect("a file");
        }
        dir
    }

    fn names(modules: &[(&str, &str)], wanted: &[&str]) -> Vec<String> {
        let dir = tree(modules);
        let order = load_order(dir.path(), wanted).expect("readable");
        order.into_iter().map(|module| module.name).collect()
    }

    #[test]
    fn what_a_module_needs_comes_before_it_and_only_once() {
        let modules = [
            ("nf_tables.ko", "license=GPL;depends=libcrc32c,nfnetlink"),
            ("nft_ct.ko", "depends=nf_tables,nf-conntrack"),
            ("nf_conntrack.ko", "depends=libcrc32c"),
            ("libcrc32c.ko", "depends=;softdep=pre: crc32c post: other"),
            ("crc32c.ko", "depends="),
            ("nfnetlink.ko", "depends="),
            ("other.ko", "depends="),
        ];
        assert_eq!(
            names(&modules, &["nft-ct", "nf_tables", "absent"]),
            [
                "crc32c",
                "libcrc32c",
                "nfnetlink",
                "nf_tables",
                "nf_conntrack",
                "nft_ct"
            ]
        );
    }

    #[test]
    fn a_need_that_is_no_module_is_the_alias_of_one() {
        let modules = [
            (
                "libcrc32c.ko",
                "depends=;softdep=post: late pre: crc32c absent",
            ),
            (
                "kernel/crypto/crc32c_generic.ko",
                "alias=crypto-crc32c;alias=crc32c;depends=crypto_hash",
            ),
            (
                "kernel/arch/x86/crypto/crc32c-intel.ko",
                "alias=crc32c;depends=",
            ),
            ("crypto_hash.ko", "depends="),
            ("late.ko", "depends="),
        ];
        assert_eq!(
            names(&modules, &["libcrc32c"]),
            ["crypto_hash", "crc32c_generic", "crc32c_intel", "libcrc32c"]
        );
        // What is wanted is a module, or not there at all.
        assert!(names(&modules, &["crc32c"]).is_empty());
    }

    #[test]
    fn a_circle_ends() {
        let modules = [("a.ko", "depends=b"), ("b.ko", "depends=a")];
        assert_eq!(names(&modules, &["a"]), ["b", "a"]);
    }

    #[test]
    fn packed_modules_are_known_by_the_same_name() {
        for file in ["/m/nf-x.ko", "/m/nf-x.ko.xz", "/m/nf-x.ko.zst"] {
            assert_eq!(module_name(Path::new(file)).as_deref(), Some("nf_x"));
        }
        assert_eq!(module_name(Path::new("/m/modules.dep")), None);
    }
}
