//! Which hooks the plan expects to work on this host, in the words of `doctor`.

use tracer_common::event_kind;

use tracer_capture::kernel::facts::Facts;
use tracer_capture::kernel::plan::{Choice, Need, Plan, Purpose};

/// Ways in which an owner may be known, see `docs/events.md`.
pub type Attributions = &'static [&'static str];

const SENT: Attributions = &["at_send"];
/// Where sends are not seen, by whatever else the process did, or by looking it up.
const NOT_LEARNT: Attributions = &["at_connect", "at_accept", "at_listen", "seeded"];

/// The plan that is left once the kernel has had its say.
#[derive(Clone, Debug)]
pub struct ExpectedHooks {
    plan: Plan,
    kernel: Option<String>,
}

impl ExpectedHooks {
    /// Of this plan, which was tried.
    pub fn new(facts: &Facts, plan: Plan) -> Self {
        Self {
            plan,
            kernel: facts.kernel_release.clone(),
        }
    }

    /// `uname -r`.
    pub fn kernel(&self) -> Option<&str> {
        self.kernel.as_deref()
    }

    /// Is one of [`tracer_common::event_kind`] seen?
    ///
    /// # Errors
    /// What is lost, and why.
    pub fn event_kind(&self, event_kind: u32) -> Result<(), String> {
        if self.plan.sees(event_kind) {
            // A send has its owner with it: the caller.
            return match event_kind {
                event_kind::SEND | event_kind::SEND_ERROR => Ok(()),
                _ => self.owners(),
            };
        }
        let losses = self.plan.losses.iter();
        let why: Vec<_> = losses
            .filter(|loss| {
                // The same hooks see sends that succeed and those that fail; a loss is booked on the latter.
                let sends = event_kind == event_kind::SEND
                    && loss.serves == Purpose::Event(event_kind::SEND_ERROR);
                sends || loss.serves == Purpose::Event(event_kind)
            })
            .map(|loss| format!("{}: {}", loss.lost, loss.why))
            .collect();
        Err(if why.is_empty() {
            format!("no hook serves {}", Purpose::Event(event_kind).name())
        } else {
            why.join("; ")
        })
    }

    /// Is what the caller of a send asks for visible: its size, and the destination of a datagram?
    ///
    /// # Errors
    /// Why it is not.
    pub fn requests(&self) -> Result<(), String> {
        match &self.plan.requests_unseen {
            Some(why) => Err(format!("what a caller asks for is not visible: {why}")),
            None => Ok(()),
        }
    }

    /// Is something attached here, and can owners be identified?
    ///
    /// # Errors
    /// What is lost, and why.
    pub fn hook(&self, attach: &str) -> Result<(), String> {
        self.attached(attach)?;
        if self.choice(attach)?.group.serves == [Purpose::Owner] {
            Ok(())
        } else {
            self.owners()
        }
    }

    /// Is a connect of TCP seen that fails before its SYN, over IPv4 (0) or IPv6 (1)?
    ///
    /// # Errors
    /// What is lost, and why.
    pub fn connects(&self, family: usize) -> Result<(), String> {
        self.hook(["tcp_v4_connect", "tcp_v6_connect"][family])
            .or_else(|why| self.hook("sys_exit_connect").map_err(|_| why))
    }

    /// Can any owner be identified, of sockets that connect or listen, or by looking at the open files?
    fn owners(&self) -> Result<(), String> {
        match (
            self.attached("inet_sock_set_state"),
            self.attached("task_file"),
        ) {
            (Err(connects), Err(opens)) => {
                Err(format!("no owner can be told; {connects}; {opens}"))
            }
            _ => Ok(()),
        }
    }

    fn attached(&self, attach: &str) -> Result<(), String> {
        let choice = self.choice(attach)?;
        let lost = choice.group.lost;
        match choice.why_missing() {
            Some(why) => Err(format!("{lost}: {why}")),
            None => Ok(()),
        }
    }

    /// Is the best form attached here?
    ///
    /// # Errors
    /// What is lost, and why.
    pub fn best(&self, attach: &str) -> Result<(), String> {
        self.hook(attach)?;
        let choice = self.choice(attach)?;
        let program = choice.hook.map_or("", |hook| hook.program);
        let variant = choice
            .group
            .variants
            .iter()
            .find(|variant| variant.program == program);
        match (variant, choice.passed_over.first()) {
            (Some(variant), Some(better)) if !variant.short_of_best.is_empty() => {
                Err(format!("{}: {}", variant.short_of_best, better.why))
            }
            _ => Ok(()),
        }
    }

    /// How a process is known that has sent.
    pub fn sent(&self) -> Attributions {
        let learns = self.plan.hooks().any(|hook| {
            hook.need == Need::Required
                && hook.serves.contains(&Purpose::Owner)
                // Some hooks of a send only keep its owner.
                && (hook.serves.contains(&Purpose::Event(event_kind::SEND_ERROR))
                    || hook.attach == "sock_send_length")
        });
        if learns { SENT } else { NOT_LEARNT }
    }

    fn choice(&self, attach: &str) -> Result<&Choice, String> {
        let mut choices = self
            .plan
            .choices
            .iter()
            .filter(|choice| choice.group.attach == attach);
        choices
            .next()
            .ok_or_else(|| format!("this version does not hook {attach}"))
    }
}
