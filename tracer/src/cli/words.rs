//! What a person who knows tcpdump, ss or strace types out of habit, and what it is called here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The line that says what to type instead, for an error of the parser; `None` when nothing is known about it.
pub fn instead(error: &clap::Error) -> Option<&'static str> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    Some(match argument.as_str() {
        "-i" | "--interface" => {
            "sockets are watched, not an interface: choose by --netns, --remote or --port"
        }
        "-n" | "-nn" | "--numeric" => "addresses are never looked up: leave it out",
        "-f" | "--follow-forks" => "children of processes are taken along by --pid PID --follow",
        "-t" | "--tcp" => "type --proto tcp",
        "-u" | "--udp" => "type --proto udp",
        "-x" | "--unix" => "type --proto unix",
        "-4" => "type --remote 0.0.0.0/0",
        "-6" => "type --remote ::/0",
        "-s" | "--snaplen" => "no packets are captured, so they have no length to cut",
        "host" | "src" | "dst" | "net" => {
            "there is no filter language: type --remote ADDRESS or --remote NETWORK/LENGTH"
        }
        "port" | "portrange" => "there is no filter language: type --port 80 or --port 8000-8099",
        "tcp" | "udp" | "icmp" | "ip" | "ip6" => {
            "there is no filter language: type --proto NAME, for example --proto tcp"
        }
        _ => return None,
    })
}
