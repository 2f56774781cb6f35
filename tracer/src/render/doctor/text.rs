//! Doctor's findings for people, under 110 columns.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use tracer_common::OFFSET_COUNT;

use super::limits::limits;
use super::{Examination, Summary, remarks};
use tracer_capture::kernel::facts::{Facts, Limit, ProgramVerdict};
use tracer_capture::kernel::plan::{Choice, Need, Plan};
use tracer_model::escape;

/// Widest line.
pub const COLUMNS: usize = 108;
/// Where the second column starts.
const INDENT: usize = 26;

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const MEDIUM: Style = AnsiColor::Yellow.on_default();

/// The whole report.
pub fn render(examination: &Examination, colour: bool) -> String {
    let mut page = Page {
        text: String::new(),
        colour,
    };
    summary(&mut page, examination);
    host(&mut page, examination.facts);
    privileges(&mut page, examination);
    if let Ok(plan) = examination.plan {
        hooks(&mut page, examination, plan);
        fields(&mut page, plan);
        losses(&mut page, plan);
    }
    page.heading("Never seen");
    for limit in limits(examination) {
        page.row(limit.about, None, limit.text);
    }
    page.text
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn heading(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let title = self.paint(HEADING, title);
        self.text.push_str(&title);
        self.text.push('\n');
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// `  label    [status] text`, text wrapped under itself.
    fn row(&mut self, label: &str, status: Option<(Style, &str)>, text: &str) {
        let label = escape::name(label.as_bytes());
        // One blank at least, however long the label is.
        let mut line = format!("  {label:<width$} ", width = INDENT - 3);
        let mut used = INDENT.max(3 + escape::width(&label));
        if let Some((style, word)) = status {
            // Writing to a String cannot fail.
            let _ = write!(line, "{} ", self.paint(style, &format!("{word:<8}")));
            used += 9;
        }
        let indent = if status.is_some() { INDENT + 9 } else { INDENT };
        for (index, part) in wrap(&escape::name(text.as_bytes()), COLUMNS - used)
            .iter()
            .enumerate()
        {
            if index > 0 {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                line = " ".repeat(indent);
            }
            line.push_str(part);
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// Breaks at blanks; a word that is wider than the room is cut.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = escape::shorten(word, room);
        let width = escape::width(&word);
        if used > 0 && used + 1 + width > room {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(&word);
            used += width;
        }
    }
    lines
}

fn summary(page: &mut Page, examination: &Examination) {
    page.heading("Can sendtrace trace here?");
    let untried = if examination.tried {
        ""
    } else {
        ", as far as can be told without trying"
    };
    match examination.summary() {
        Summary::Yes => page.row("yes", None, &format!("every event kind is seen{untried}")),
        Summary::Partly(blind) => {
            page.row(
                "partly",
                None,
                &format!(
                    "not seen: {}{untried}; see \"Lost on this host\"",
                    blind.join(", ")
                ),
            );
        }
        Summary::NeedsPrivileges(problem) => page.row("not as this user", None, &problem),
        Summary::No(why) => page.row("no", None, &why),
    }
}

fn host(page: &mut Page, facts: &Facts) {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    page.heading("Host");
    page.row("kernel", None, &or_unknown(facts.kernel_release.clone()));
    match &facts.btf {
        Err(why) => page.row("type information (BTF)", None, &format!("none: {why}")),
        Ok(btf) => {
            let found = OFFSET_COUNT - btf.unresolved().count();
            page.row(
                "type information (BTF)",
                None,
                &format!("present, {found} of {OFFSET_COUNT} fields found"),
            );
        }
    }
    let jit = match facts.jit {
        Some(true) => "on",
        Some(false) => {
            "off: every hook costs several times more (`sysctl net.core.bpf_jit_enable=1`)"
        }
        // Only root may read it.
        None => "unknown (root can read it)",
    };
    page.row("BPF compiler (JIT)", None, jit);
    let lockdown = match facts.lockdown.as_deref() {
        Some("confidentiality") => "confidentiality: programs that read kernel memory are refused",
        Some(mode) => mode,
        None => "not shown (no lockdown, or securityfs is not mounted)",
    };
    page.row("lockdown", None, lockdown);
    let kptr = match facts.kptr_restrict {
        Some(2) => "hidden from everybody (kernel.kptr_restrict=2)",
        Some(1) => "shown with CAP_SYSLOG (kernel.kptr_restrict=1)",
        Some(_) => "shown to root",
        None => "unknown",
    };
    page.row("kernel addresses", None, kptr);
    let unprivileged = match facts.unprivileged_bpf_disabled {
        Some(0) => "allowed for unprivileged users (they still cannot trace)",
        Some(_) => "for privileged users only",
        None => "unknown",
    };
    page.row("BPF", None, unprivileged);
    let cgroup2 = facts
        .cgroup2
        .as_ref()
        .map(|path| path.to_string_lossy().into_owned());
    page.row(
        "cgroup v2",
        None,
        &cgroup2.unwrap_or_else(|| "not mounted".to_owned()),
    );
    if let Some(path) = &facts.systemd_cgroups {
        let text = format!("{} (owner.cgroup is read there)", path.display());
        page.row("cgroup v1 of systemd", None, &text);
    }
    page.row(
        "ticks per second (HZ)",
        None,
        &or_unknown(facts.hz().map(|hz| hz.to_string())),
    );
    page.row(
        "possible CPUs",
        None,
        &or_unknown(facts.cpus_possible.map(|cpus| cpus.to_string())),
    );
    page.row("open files", None, &limit(facts.open_files, ""));
    page.row("locked memory", None, &limit(facts.locked_memory, " bytes"));
}

fn limit(limit: Option<Limit>, unit: &str) -> String {
    let number = |value| {
        if value == u64::MAX {
            "unlimited".to_owned()
        } else {
            format!("{value}{unit}")
        }
    };
    match limit {
        None => "unknown".to_owned(),
        Some(limit) if limit.soft == limit.hard => number(limit.soft),
        Some(limit) => format!(
            "{}, may be raised to {}",
            number(limit.soft),
            number(limit.hard)
        ),
    }
}

fn privileges(page: &mut Page, examination: &Examination) {
    page.heading("Privileges");
    let uid = examination.facts.euid;
    page.row(
        "user id",
        None,
        &if uid == 0 {
            "0 (root)".to_owned()
        } else {
            format!("{uid} (not root)")
        },
    );
    let privileges = examination.privileges();
    if privileges.initial_user_namespace == Some(false) {
        page.row(
            "user namespace",
            Some((BAD, "missing")),
            "this is a container; the kernel wants root of the host",
        );
    }
    if privileges.missing.is_empty() {
        page.row("capabilities", Some((GOOD, "ok")), "all that are needed");
    }
    for missing in &privileges.missing {
        let style = if missing.fatal { BAD } else { MEDIUM };
        page.row(
            missing.capability.name(),
            Some((style, "missing")),
            missing.needed_for,
        );
    }
}

fn hooks(page: &mut Page, examination: &Examination, plan: &Plan) {
    page.heading("Hooks");
    for choice in &plan.choices {
        let (status, text) = hook(examination, choice);
        page.row(choice.group.name, Some(status), &text);
        if choice.hook.is_some() {
            for better in &choice.passed_over {
                page.row(
                    "",
                    Some((MEDIUM, "not")),
                    &format!("{}: {}", better.program, better.why),
                );
            }
        }
        for remark in remarks(plan, choice) {
            let place = choice.group.attach;
            page.row("", Some((MEDIUM, "null")), &format!("{place}: {remark}"));
        }
    }
}

fn hook(examination: &Examination, choice: &Choice) -> ((Style, &'static str), String) {
    let place = format!("{}/{}", choice.group.kind.name(), choice.group.attach);
    let optional = if choice.group.need == Need::Optional {
        " (optional)"
    } else {
        ""
    };
    if let Some(refused) = choice.refused() {
        let style = if choice.covered || choice.group.need == Need::Optional {
            MEDIUM
        } else {
            BAD
        };
        let words = refused.refusal.as_ref().and_then(ProgramVerdict::words);
        let text = format!(
            "{place}, program {}{optional}: {}",
            refused.program,
            words.unwrap_or_default()
        );
        return ((style, "refused"), text);
    }
    let Some(hook) = choice.hook else {
        let style = if choice.group.need == Need::Optional {
            MEDIUM
        } else {
            BAD
        };
        return (
            (style, "missing"),
            format!(
                "{place}{optional}: {}",
                choice.why_missing().unwrap_or_default()
            ),
        );
    };
    let chosen = format!("{place}, program {}{optional}", hook.program);
    match examination.verdict(&hook) {
        ProgramVerdict::Allowed => ((GOOD, "ok"), chosen),
        _ => ((MEDIUM, "untried"), chosen),
    }
}

fn fields(page: &mut Page, plan: &Plan) {
    if plan.fields.is_empty() {
        return;
    }
    page.heading("Fields that this kernel does not have, and what is null without them");
    for loss in &plan.fields {
        page.row(loss.field.name, None, &loss.becomes_null.join(", "));
    }
}

fn losses(page: &mut Page, plan: &Plan) {
    page.heading("Lost on this host");
    if plan.losses.is_empty() {
        page.row("nothing", None, "");
    }
    for loss in &plan.losses {
        page.row(loss.serves.name(), None, &loss.lost);
        page.row("", None, &format!("why: {}", loss.why));
        page.row("", None, &format!("what to do: {}", loss.remedy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_of_a_hook_does_not_run_into_its_verdict() {
        let mut page = Page {
            text: String::new(),
            colour: false,
        };
        page.row("short", Some((GOOD, "ok")), "fexit");
        page.row("connect refused by policy", Some((BAD, "refused")), "fexit");
        let short = format!("  {:<24}ok       fexit\n", "short");
        let long = "  connect refused by policy refused  fexit\n";
        assert_eq!(page.text, short + long);
    }
}
