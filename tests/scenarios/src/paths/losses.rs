//! What the program itself says that it does not see on this host.

use serde_json::Value;

/// What `sendtrace doctor` says about sends that are not seen.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    losses: Vec<Loss>,
}

#[derive(Clone, Debug)]
struct Loss {
    lost: String,
    why: String,
}

impl Losses {
    /// Asks the program, or reads what it has said on this very host: the file that `SENDTRACE_DOCTOR` names.
    ///
    /// # Panics
    /// When it does not answer with what its contract promises.
    pub fn of_doctor() -> Self {
        let text = match std::env::var_os("SENDTRACE_DOCTOR") {
            Some(file) => std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("SENDTRACE_DOCTOR: {}: {error}", file.display())),
            None => {
                let output = crate::program::run_sendtrace(&["doctor", "--format", "json"]);
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
        };
        serde_json::from_str(&text)
            .ok()
            .as_ref()
            .and_then(Self::read)
            .unwrap_or_else(|| panic!("doctor --format json: {text}"))
    }

    fn read(doctor: &Value) -> Option<Self> {
        let losses = doctor["losses"].as_array()?.iter();
        let of_sends =
            losses.filter(|loss| loss["serves"] == "send" || loss["serves"] == "send_error");
        let loss = |loss: &Value| {
            Some(Loss {
                lost: loss["lost"].as_str()?.to_owned(),
                why: loss["why"].as_str()?.to_owned(),
            })
        };
        Some(Self {
            losses: of_sends.map(loss).collect::<Option<_>>()?,
        })
    }

    /// What doctor says about this path, if it says that it is not seen.
    pub fn about(&self, path: &str) -> Option<String> {
        let words = words(path);
        let loss = self
            .losses
            .iter()
            .find(|loss| loss.lost.starts_with(EVERYTHING) || loss.lost.contains(words))?;
        Some(format!("not seen: {}: {}", loss.lost, loss.why))
    }
}

/// The loss of the hook that sees all sends.
const EVERYTHING: &str = "sends that fail,";

/// What the loss of the hook that sees this path says, where each protocol has its own.
fn words(path: &str) -> &'static str {
    let file = path.ends_with("sendfile") || path.ends_with("splice");
    match path {
        "unix sendfile" => "sendfile and splice on unix stream sockets",
        "unix stream send" | "unix write" => "sends on unix stream sockets",
        "unix dgram send" => "sends on unix datagram sockets",
        "unix seqpacket send" => "sends on unix seqpacket sockets",
        "packet send" => "sends on packet sockets",
        "netlink send" => "sends on netlink sockets",
        _ if file => "sendfile and splice on IP sockets",
        _ if path.contains(" v6 ") => "sends on IPv6 sockets",
        _ => "sends on IPv4",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn losing(serves: &str, lost: &str) -> Losses {
        let loss = json!({"serves": serves, "lost": lost, "why": "refused", "remedy": ""});
        Losses::read(&json!({"type": "doctor", "losses": [loss]})).unwrap()
    }

    #[test]
    fn nothing_lost_excuses_nothing() {
        let none = Losses::read(&json!({"type": "doctor", "losses": []})).unwrap();
        assert!(none.about("TCP send").is_none());
        assert!(Losses::read(&json!({"type": "doctor"})).is_none());
    }

    #[test]
    fn the_loss_of_one_protocol_excuses_its_paths_alone() {
        let ipv6 = losing("send_error", "sends on IPv6 sockets, and their owners");
        assert_eq!(
            ipv6.about("TCP v6 send").as_deref(),
            Some("not seen: sends on IPv6 sockets, and their owners: refused")
        );
        assert!(ipv6.about("TCP send").is_none());
        let page = losing("send_error", "sends by sendfile and splice on IP sockets");
        assert!(page.about("kTLS sendfile").is_some());
        assert!(page.about("io_uring splice").is_some());
        assert!(page.about("unix sendfile").is_none());
        assert!(page.about("TCP send").is_none());
    }

    #[test]
    fn the_loss_of_the_tracepoint_excuses_all_and_that_of_another_event_kind_none() {
        let all = losing(
            "send_error",
            "sends that fail, and owners learnt when they send",
        );
        assert!(all.about("kernel: NBD").is_some());
        assert!(all.about("netlink send").is_some());
        let other = losing("send_error", "sends that a security module refuses");
        assert!(other.about("TCP send").is_none());
        let drops = losing("drop", "sends on IPv4");
        assert!(drops.about("TCP send").is_none());
    }
}
