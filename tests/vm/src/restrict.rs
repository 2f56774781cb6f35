//! Takes abilities away from one command, as the policy of another host would.
//!
//! A seccomp filter stops every bpf(2) and perf_event_open(2) of the command; this process looks at what is
//! asked for and answers EPERM to the kinds of program that are refused, and lets the kernel go on with the
//! rest; by ptrace(2) where seccomp cannot notify. What is refused this way is told exactly, so that it can be compared with what `doctor` says is lost.
//! BTF is hidden in a mount namespace of the command's own.

pub mod attr;
mod capabilities;
mod filter;
pub mod hide;
pub mod supervise;
mod trace;

use attr::{Kind, Load};

/// Before the name of a single program.
const PROGRAM: &str = "program:";
/// The kernel keeps that many bytes of a program's name.
const NAME_BYTES: usize = 15;

/// What to take away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    pub kinds: Vec<Kind>,
    /// Names of programs, as the kernel knows them.
    pub programs: Vec<String>,
    /// All BTF but that of the kernel itself.
    pub hide_module_btf: bool,
    /// All BTF.
    pub hide_btf: bool,
    /// All capabilities but CAP_BPF and CAP_PERFMON.
    pub few_capabilities: bool,
    /// Look at what is asked for as a tracer, although the kernel could notify.
    pub traced: bool,
}

impl Refusals {
    /// Parses words: names of program kinds, `program:NAME`, `module-btf`, `btf`, `capabilities`, `traced`.
    ///
    /// # Errors
    /// The first word that is none of these.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut refusals = Self::default();
        for word in words {
            match word {
                "module-btf" => refusals.hide_module_btf = true,
                "btf" => refusals.hide_btf = true,
                "capabilities" => refusals.few_capabilities = true,
                "traced" => refusals.traced = true,
                word if word.starts_with(PROGRAM) => {
                    let name = word.bytes().skip(PROGRAM.len()).take(NAME_BYTES);
                    refusals.programs.push(name.map(char::from).collect());
                }
                name => match Kind::from_name(name) {
                    Some(kind) => refusals.kinds.push(kind),
                    None => return Err(name.to_owned()),
                },
            }
        }
        Ok(refusals)
    }

    pub fn refuses(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Is this program refused, for its kind or its name?
    pub fn refuses_load(&self, load: &Load) -> bool {
        self.refuses(load.kind) || self.programs.contains(&load.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_may_be_asked_for_by_either_means() {
        let refusals = Refusals::parse(["traced", "iter"]).expect("known words");
        assert!(refusals.traced && refusals.refuses(Kind::Iter));
        assert!(!Refusals::default().traced);
    }

    #[test]
    fn words_are_kinds_or_btf_and_nothing_else() {
        let refusals = Refusals::parse(["fexit", "module-btf"]).expect("known words");
        assert!(refusals.refuses(Kind::Fexit) && !refusals.refuses(Kind::TpBtf));
        assert!(refusals.hide_module_btf && !refusals.hide_btf);
        assert_eq!(Refusals::parse(["fexits"]), Err("fexits".to_owned()));
    }

    #[test]
    fn a_single_program_is_refused_by_the_name_that_the_kernel_keeps_of_it() {
        let refusals = Refusals::parse(["program:reset_sent_reason"]).expect("a known word");
        let load = |name: &str| Load {
            kind: Kind::TpBtf,
            name: name.to_owned(),
        };
        assert!(refusals.refuses_load(&load("reset_sent_reas")));
        assert!(!refusals.refuses_load(&load("reset_sent")));
    }
}
