//! Why nothing can be traced, in words that say what to do.

use std::fmt;

use super::{Loss, NEEDED_FILES};
use crate::kernel::facts::Feature;

/// Why nothing can be traced here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// BTF is absent or unreadable.
    NoBtf(String),
    /// The kernel lacks these.
    TooOld(Vec<Feature>),
    /// None of the wanted event kinds has a hook.
    NoHooks(Vec<Loss>),
    /// The hard limit of open files is below [`NEEDED_FILES`].
    FileLimit(u64),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBtf(why) => write!(
                f,
                "the kernel's type information (BTF) is needed and cannot be read ({why}): \
                 use a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs"
            ),
            Self::TooOld(features) => {
                let names: Vec<_> = features.iter().map(|feature| feature.name()).collect();
                write!(
                    f,
                    "this kernel is too old, it lacks: {}; use a newer kernel",
                    names.join(", ")
                )
            }
            Self::NoHooks(losses) => {
                let why: Vec<_> = losses.iter().map(|loss| loss.why.as_str()).collect();
                write!(
                    f,
                    "this kernel has no hook for any wanted event kind ({}); ",
                    why.join("; ")
                )?;
                f.write_str(
                    "ask for other event kinds, or run `sendtrace doctor` to see which it has",
                )
            }
            Self::FileLimit(hard) => write!(
                f,
                "{NEEDED_FILES} open files are needed and the hard limit is {hard}: \
                 raise it (`ulimit -Hn 1024` as root, or LimitNOFILE= of the service)"
            ),
        }
    }
}

impl std::error::Error for PlanError {}
