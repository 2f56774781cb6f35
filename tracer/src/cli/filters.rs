//! Which events: the same words on every command.

use std::ops::RangeInclusive;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, Args};
use ipnet::IpNet;
use tracer_model::event::EventKind;
use tracer_model::filter::{self, Comm, Proto};

use super::values;

/// Which events: the same words on every command. Values are alternatives, kinds must all match.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Processes, by id
    #[arg(short, long, value_name = "PID", value_delimiter = ',', value_parser = values::pid)]
    pub pid: Vec<u32>,
    /// Processes, by name as the kernel keeps it (15 bytes at most)
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = values::comm_parser())]
    pub comm: Vec<Comm>,
    /// Processes in a cgroup or below it
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub cgroup: Option<String>,
    /// Network namespace: a name of ip-netns(8), a path, pid:N, or its inode number
    #[arg(long, value_name = "NETNS", value_parser = NonEmptyStringValueParser::new())]
    pub netns: Option<String>,
    /// Ports, local or remote: 443, or 8000-8099
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = values::ports)]
    pub port: Vec<RangeInclusive<u16>>,
    /// Remote addresses or networks, for example 10.0.0.0/8 or 2001:db8::1
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = values::remote)]
    pub remote: Vec<IpNet>,
    /// Protocols
    #[arg(long, value_name = "NAME", value_delimiter = ',', ignore_case = true, value_parser = values::proto_parser())]
    pub proto: Vec<Proto>,
    /// Event kinds: retransmit, send_error, drop, device, reset, connection, waiting, blocked; and send, every
    /// send that succeeds, which is off unless named here
    #[arg(short, long, value_name = "NAME", value_delimiter = ',', value_parser = values::event_kind)]
    pub event: Vec<EventKind>,
    /// Errors of sends and connections, by name or number, for example ECOMM or 70
    #[arg(long, value_name = "ERRNO", value_delimiter = ',', value_parser = values::errno)]
    pub errno: Vec<u32>,
}

impl From<&Filters> for filter::Filters {
    fn from(typed: &Filters) -> Self {
        Self {
            pid: typed.pid.clone(),
            comm: typed.comm.clone(),
            cgroup: typed.cgroup.clone(),
            netns: typed.netns.clone(),
            port: typed.port.iter().cloned().flatten().collect(),
            remote: typed.remote.clone(),
            proto: typed.proto.clone(),
            event: typed.event.clone(),
            errno: typed.errno.clone(),
        }
    }
}

/// Filters of a run on the host itself.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Filters")]
pub struct LiveFilters {
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// Take the children of --pid along
    #[arg(long, requires = "pid")]
    pub follow: bool,
}

/// The help of filters that mean something else in a trace than on a host.
pub(super) fn of_a_trace(arg: Arg) -> Arg {
    let help = match arg.get_id().as_str() {
        "pid" => {
            "Processes, by id: every process that had this number while the trace was recorded"
        }
        "cgroup" => {
            "Processes in a cgroup or below it, by the path that events show as owner.cgroup"
        }
        "netns" => "Network namespace, by the inode number that events show as flow.netns",
        "event" => {
            "Event kinds: retransmit, send_error, drop, device, reset, connection, send, waiting, blocked; all of \
             the trace unless named here"
        }
        _ => return arg,
    };
    arg.help(help)
}
