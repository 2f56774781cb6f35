//! What this process may do, and what it would need.

use crate::kernel::facts::{Capability, Facts};

/// A capability that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    pub capability: Capability,
    pub needed_for: &'static str,
    /// Nothing can be traced without it.
    pub fatal: bool,
}

/// Whether tracing may be tried at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileges {
    pub missing: Vec<Missing>,
    /// `Some(false)`: root of a container; the kernel wants the capabilities in the host's user namespace.
    pub initial_user_namespace: Option<bool>,
}

impl Privileges {
    /// Nothing that is missing is fatal. The kernel has the last word when programs are loaded.
    pub fn sufficient(&self) -> bool {
        self.initial_user_namespace != Some(false)
            && !self.missing.iter().any(|missing| missing.fatal)
    }

    /// One line that says what is missing for tracing and what to do; `None` when sufficient.
    pub fn problem(&self) -> Option<String> {
        if self.initial_user_namespace == Some(false) {
            return Some(
                "this is root of a container's user namespace, and the kernel wants root of the host: \
                 run `sudo sendtrace live` on the host"
                    .to_owned(),
            );
        }
        let names: Vec<_> = self
            .missing
            .iter()
            .filter(|missing| missing.fatal)
            .map(|missing| missing.capability.name())
            .collect();
        (!names.is_empty()).then(|| {
            format!(
                "live needs root (missing: {}): run `sudo sendtrace live`",
                names.join(", ")
            )
        })
    }
}

/// Compares what is there with what is needed. CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON, and is what
/// kernels that do not know these ask for.
pub fn privileges(facts: &Facts) -> Privileges {
    let mut missing = Vec::new();
    let mut need = |capability, needed_for, fatal| {
        if !facts.has(capability) {
            missing.push(Missing {
                capability,
                needed_for,
                fatal,
            });
        }
    };
    if facts.knows_cap_bpf == Some(false) {
        need(
            Capability::SysAdmin,
            "loading and attaching programs (this kernel has no CAP_BPF)",
            true,
        );
    } else if !facts.has(Capability::SysAdmin) {
        need(Capability::Bpf, "loading programs and maps", true);
        need(Capability::Perfmon, "attaching tracing programs", true);
    }
    need(
        Capability::SysPtrace,
        "`--netns PID` of another user's process (and `--pid`, where /proc hides those)",
        false,
    );
    need(
        Capability::Syslog,
        "names of code locations (drop.location)",
        false,
    );
    Privileges {
        missing,
        initial_user_namespace: facts.initial_user_namespace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::facts::Capabilities;
    use crate::kernel::facts::fixture::host;

    #[test]
    #[ignore = "needs root"]
    fn root_of_the_host_may_trace_and_nothing_is_missing() {
        let found = privileges(&host());
        assert!(found.sufficient() && found.missing.is_empty());
        assert_eq!(found.problem(), None);
    }

    #[test]
    fn a_user_is_told_to_become_root() {
        let facts = Facts {
            euid: 1000,
            capabilities: Some(Capabilities(0)),
            ..host()
        };
        let problem = privileges(&facts).problem().unwrap();
        assert_eq!(
            problem,
            "live needs root (missing: CAP_BPF, CAP_PERFMON): run `sudo sendtrace live`"
        );
    }

    #[test]
    fn cap_sys_admin_stands_in_for_the_two_that_trace() {
        let all = Capabilities(u64::MAX);
        let facts = Facts {
            capabilities: Some(all.without(Capability::Bpf).without(Capability::Perfmon)),
            ..host()
        };
        assert!(privileges(&facts).sufficient());
        let facts = Facts {
            capabilities: Some(all.without(Capability::SysAdmin)),
            ..host()
        };
        assert!(privileges(&facts).sufficient());
        let facts = Facts {
            knows_cap_bpf: Some(false),
            ..facts
        };
        assert_eq!(
            privileges(&facts).missing[0].capability,
            Capability::SysAdmin
        );
        assert!(!privileges(&facts).sufficient());
    }

    #[test]
    fn capabilities_that_only_name_things_are_missed_but_not_fatal() {
        let all = Capabilities(u64::MAX);
        let facts = Facts {
            capabilities: Some(
                all.without(Capability::SysPtrace)
                    .without(Capability::Syslog),
            ),
            ..host()
        };
        let found = privileges(&facts);
        assert_eq!(found.missing.len(), 2);
        assert!(found.sufficient() && found.problem().is_none());
    }

    #[test]
    fn the_root_of_a_container_is_told_to_go_to_the_host() {
        let facts = Facts {
            initial_user_namespace: Some(false),
            ..host()
        };
        assert!(
            privileges(&facts)
                .problem()
                .unwrap()
                .contains("on the host")
        );
    }
}
