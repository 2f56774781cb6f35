//! Names of addresses in the kernel's text, from `/proc/kallsyms`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Functions lie apart by far less; an address that far from the last symbol belongs to none.
const LARGEST_FUNCTION: u64 = 1 << 20;

/// Opened at start, while privileges last: the kernel decides at `open` whether addresses are shown. Read only
/// when the first name is asked for.
pub struct Symbols {
    file: Option<File>,
    table: Table,
}

/// Whether this process is shown the addresses of symbols; `None` without the file. The kernel shows zeroes
/// instead to those who may not see them (`kallsyms_show_value`).
pub(super) fn shown(root: &Path) -> Option<bool> {
    let mut lines = BufReader::with_capacity(1 << 16, File::open(root.join("proc/kallsyms")).ok()?);
    let mut line = Vec::new();
    // Per-CPU variables come first, at addresses from 0 on.
    for _ in 0..1 << 14 {
        line.clear();
        if lines
            .by_ref()
            .take(1 << 12)
            .read_until(b'\n', &mut line)
            .ok()?
            == 0
        {
            break;
        }
        let mut address = line.iter().take_while(|byte| !byte.is_ascii_whitespace());
        if address.any(|digit| *digit != b'0') {
            return Some(true);
        }
    }
    Some(false)
}

/// Text symbols, 12 bytes each beside their names; some 60,000 symbols are about 2 MB.
#[derive(Default)]
struct Table {
    /// (address, offset in `names`), sorted by address.
    symbols: Vec<(u64, u32)>,
    /// Names, each ended by NUL.
    names: Vec<u8>,
}

impl Symbols {
    /// Opens the file and reads nothing; without it, no address has a name.
    pub fn open(root: &Path) -> Self {
        Self {
            file: File::open(root.join("proc/kallsyms")).ok(),
            table: Table::default(),
        }
    }

    /// The symbol that holds an address, and how far into it: `tcp_v4_rcv+0x1a2`. `None` when it is not kernel
    /// text, or addresses are hidden (`kernel.kptr_restrict`, or opened without privileges).
    pub fn name_at(&mut self, address: u64) -> Option<String> {
        if let Some(file) = self.file.take() {
            // A read that fails half-way leaves no names rather than wrong ones.
            self.table = Table::read(BufReader::with_capacity(1 << 16, file)).unwrap_or_default();
        }
        self.table.name_at(address)
    }
}

impl Table {
    fn read(mut lines: impl BufRead) -> io::Result<Self> {
        let mut table = Self::default();
        let mut line = Vec::new();
        while {
            line.clear();
            lines.by_ref().take(1 << 12).read_until(b'\n', &mut line)? > 0
        } {
            table.add(&line);
        }
        // Stable, so that of several names for one address the first in the file stays first.
        table.symbols.sort_by_key(|&(address, _)| address);
        table.symbols.dedup_by_key(|&mut (address, _)| address);
        table.symbols.shrink_to_fit();
        table.names.shrink_to_fit();
        Ok(table)
    }

    /// One line: `ffffffff81000000 T _text`, with `\t[module]` after the name of a module's symbol.
    fn add(&mut self, line: &[u8]) {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        if !matches!(kind, b"t" | b"T" | b"w" | b"W") {
            return;
        }
        let address = std::str::from_utf8(address)
            .ok()
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        // Hidden addresses read as zero.
        let (Some(address @ 1..), Ok(offset)) = (address, u32::try_from(self.names.len())) else {
            return;
        };
        self.symbols.push((address, offset));
        self.names.extend_from_slice(name);
        self.names.push(0);
    }

    fn name_at(&self, address: u64) -> Option<String> {
        let after = self.symbols.partition_point(|&(start, _)| start <= address);
        let &(start, offset) = self.symbols.get(after.checked_sub(1)?)?;
        let distance = address - start;
        if distance >= LARGEST_FUNCTION {
            return None;
        }
        let name = self
            .names
            .get(offset as usize..)?
            .split(|&byte| byte == 0)
            .next()?;
        Some(format!("{}+{distance:#x}", String::from_utf8_lossy(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        Table::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_address_is_named_by_the_symbol_below_it() {
        let table = table(
            "ffffffff81000200 T tcp_v4_rcv\nffffffff81000000 T ip_rcv\nffffffff81000300 t next\n",
        );
        assert_eq!(
            table.name_at(0xffff_ffff_8100_0200).as_deref(),
            Some("tcp_v4_rcv+0x0")
        );
        assert_eq!(
            table.name_at(0xffff_ffff_8100_02ff).as_deref(),
            Some("tcp_v4_rcv+0xff")
        );
        assert_eq!(
            table.name_at(0xffff_ffff_8100_01ff).as_deref(),
            Some("ip_rcv+0x1ff")
        );
    }

    #[test]
    fn an_address_outside_of_the_text_has_no_name() {
        let table = table("ffffffff81000000 T ip_rcv\n");
        assert_eq!(table.name_at(0xffff_ffff_80ff_ffff), None);
        assert_eq!(table.name_at(0xffff_ffff_8fff_ffff), None);
    }

    #[test]
    fn data_hidden_and_malformed_lines_are_no_symbols() {
        let table = table(
            "0000000000000000 T hidden\nffffffff81000000 D data\nzz T bad\n\nffffffff81000010 T ok\n",
        );
        assert_eq!(table.symbols.len(), 1);
        assert_eq!(
            table.name_at(0xffff_ffff_8100_0011).as_deref(),
            Some("ok+0x1")
        );
    }

    #[test]
    fn of_several_names_for_an_address_the_first_wins() {
        let table = table("ffffffff81000000 T first\nffffffff81000000 T second\tnot_a_module\n");
        assert_eq!(
            table.name_at(0xffff_ffff_8100_0004).as_deref(),
            Some("first+0x4")
        );
    }

    #[test]
    fn a_symbol_of_a_module_is_named_too() {
        let table = table("ffffffffc0000000 t nft_do_chain\t[nf_tables]\n");
        assert_eq!(
            table.name_at(0xffff_ffff_c000_0001).as_deref(),
            Some("nft_do_chain+0x1")
        );
    }

    #[test]
    fn without_the_file_no_address_has_a_name() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Symbols::open(root.path()).name_at(1), None);
    }

    #[test]
    fn addresses_are_hidden_when_all_of_them_are_zero() {
        let shown_in = |text: &str| {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("proc")).unwrap();
            std::fs::write(root.path().join("proc/kallsyms"), text).unwrap();
            shown(root.path())
        };
        let hidden = "0000000000000000 A first\n0000000000000000 T tcp_v4_rcv\n";
        assert_eq!(shown_in(hidden), Some(false));
        let seen = "0000000000000000 A first\nffffffff81000000 T tcp_v4_rcv\n";
        assert_eq!(shown_in(seen), Some(true));
        assert_eq!(shown(tempfile::tempdir().unwrap().path()), None);
    }
}
