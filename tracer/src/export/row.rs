//! The columns of an event: one table of names and values, which parquet and CSV share.
//!
//! Every integer is 64 bits and signed, because that is what all readers take; a number that does not fit is
//! missing. What could not be read is missing too, never 0.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::render::{Clock, json};
use tracer_model::errno;
use tracer_model::event::{
    Attribution, Blocked, Connection, Detail, Device, Direction, Endpoint, Event, Flow, Lost,
    PacketDrop, RawName, Reset, Retransmit, SendError, SendOk, Tcp, TcpState, Waiting,
};

/// What a row is made of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub event: &'a Event,
    pub clock: &'a Clock,
    /// Name of the host that recorded, where the trace says so.
    pub host: Option<&'a str>,
}

/// A column.
pub struct Column {
    pub name: &'static str,
    pub value: Value,
}

/// How a column gets its value from an event.
pub enum Value {
    /// Nanoseconds since 1970-01-01 UTC.
    Time(fn(&Source<'_>) -> Option<i64>),
    Integer(fn(&Source<'_>) -> Option<i64>),
    Text(for<'a> fn(&Source<'a>) -> Option<Cow<'a, str>>),
    Flag(fn(&Source<'_>) -> Option<bool>),
}

const fn time(name: &'static str, value: fn(&Source<'_>) -> Option<i64>) -> Column {
    Column {
        name,
        value: Value::Time(value),
    }
}

const fn int(name: &'static str, value: fn(&Source<'_>) -> Option<i64>) -> Column {
    Column {
        name,
        value: Value::Integer(value),
    }
}

const fn text(
    name: &'static str,
    value: for<'a> fn(&Source<'a>) -> Option<Cow<'a, str>>,
) -> Column {
    Column {
        name,
        value: Value::Text(value),
    }
}

const fn flag(name: &'static str, value: fn(&Source<'_>) -> Option<bool>) -> Column {
    Column {
        name,
        value: Value::Flag(value),
    }
}

/// All columns, in their order. New ones come at the end of their group; none is ever renamed.
pub const COLUMNS: &[Column] = &[
    time("time", |s| s.wall_ns(s.event.boot_ns)),
    int("time_ns", |s| s.wall_ns(s.event.boot_ns)),
    int("boot_ns", |s| wide(s.event.boot_ns)),
    text("host", |s| s.host.map(Cow::Borrowed)),
    text("event", |s| known(s.event.kind().name())),
    int("count", |s| wide(s.event.count)),
    int("owner_pid", |s| s.event.owner.pid.map(i64::from)),
    int("owner_tid", |s| s.event.owner.tid.map(i64::from)),
    text("owner_comm", |s| lossy(s.event.owner.comm.as_ref())),
    int("owner_uid", |s| s.event.owner.uid.map(i64::from)),
    text("owner_cgroup", |s| {
        s.event.owner.cgroup.as_deref().map(Cow::Borrowed)
    }),
    time("owner_started", |s| {
        s.wall_ns(s.event.owner.started_boot_ns?)
    }),
    int("owner_started_boot_ns", |s| {
        wide(s.event.owner.started_boot_ns?)
    }),
    // What was lost belongs to nobody.
    text("owner_grade", |s| match s.event.detail {
        Detail::Lost(_) => None,
        _ => known(s.event.owner.grade.name()),
    }),
    text("owner_why", |s| {
        s.event.owner.why.as_deref().map(Cow::Borrowed)
    }),
    text("owner_holders", |s| {
        let shared = s.event.owner.grade == Attribution::Shared;
        shared.then(|| json::holders(&s.event.owner, s.clock).to_string().into())
    }),
    text("owner_cmdline", |s| lossy(s.event.owner.cmdline.as_deref())),
    text("owner_unit", |s| {
        s.event.owner.place().unit.map(Cow::Borrowed)
    }),
    text("owner_container_id", |s| {
        Some(s.event.owner.place().container?.id.into())
    }),
    text("owner_container_runtime", |s| {
        known(s.event.owner.place().container?.runtime?)
    }),
    text("owner_kubernetes_namespace", |s| {
        Some(s.event.owner.kubernetes.as_ref()?.namespace.as_str().into())
    }),
    text("owner_kubernetes_pod", |s| {
        Some(s.event.owner.kubernetes.as_ref()?.pod.as_str().into())
    }),
    text("owner_kubernetes_container", |s| {
        s.event
            .owner
            .kubernetes
            .as_ref()?
            .container
            .as_deref()
            .map(Cow::Borrowed)
    }),
    text("proto", |s| Some(s.flow()?.proto.as_ref().into())),
    text("local_address", |s| address(s.flow()?.local.as_ref()?)),
    int("local_port", |s| port(s.flow()?.local.as_ref()?)),
    text("remote_address", |s| address(s.flow()?.remote.as_ref()?)),
    int("remote_port", |s| port(s.flow()?.remote.as_ref()?)),
    int("netns", |s| s.flow()?.netns.map(i64::from)),
    int("socket", |s| wide(s.flow()?.socket?)),
    text("retransmit_cause", |s| known(s.retransmit()?.cause.name())),
    text("retransmit_outcome", |s| {
        Some(s.retransmit()?.outcome.name())
    }),
    int("retransmit_attempt", |s| {
        s.retransmit()?.attempt.map(i64::from)
    }),
    int("retransmit_segments", |s| wide(s.retransmit()?.segments?)),
    int("retransmit_bytes", |s| wide(s.retransmit()?.bytes?)),
    text("retransmit_trigger", |s| {
        known(s.retransmit()?.trigger.name())
    }),
    int("send_error_errno", |s| Some(s.send_error()?.errno.into())),
    text("send_error_name", |s| error_name(s.send_error()?.errno)),
    int("send_error_requested_bytes", |s| {
        wide(s.send_error()?.requested_bytes?)
    }),
    int("send_error_sent_bytes", |s| {
        wide(s.send_error()?.sent_bytes?)
    }),
    int("send_error_blocked_us", |s| {
        wide(s.send_error()?.blocked_us?)
    }),
    text("drop_reason", |s| {
        s.drop()?.reason.as_deref().map(Cow::Borrowed)
    }),
    text("drop_location", |s| {
        s.drop()?.location.as_deref().map(Cow::Borrowed)
    }),
    text("drop_interface", |s| lossy(s.drop()?.interface.as_ref())),
    int("drop_bytes", |s| wide(s.drop()?.bytes?)),
    text("drop_direction", |s| way(s.drop()?.direction)),
    int("drop_ifindex", |s| s.drop()?.ifindex.map(i64::from)),
    int("device_code", |s| Some(s.device()?.code.into())),
    text("device_name", |s| Some(s.device()?.name())),
    text("device_interface", |s| {
        lossy(s.device()?.interface.as_ref())
    }),
    int("device_bytes", |s| wide(s.device()?.bytes?)),
    int("device_ifindex", |s| s.device()?.ifindex.map(i64::from)),
    int("device_queue", |s| s.device()?.queue.map(i64::from)),
    flag("device_requeued", |s| Some(s.device()?.requeued())),
    text("reset_direction", |s| way(s.reset()?.direction)),
    text("reset_reason", |s| {
        s.reset()?.reason.as_deref().map(Cow::Borrowed)
    }),
    text("connection_from", |s| state(s.connection()?.from)),
    text("connection_to", |s| state(s.connection()?.to)),
    int("connection_errno", |s| s.connection()?.errno.map(i64::from)),
    text("connection_name", |s| error_name(s.connection()?.errno?)),
    int("send_requested_bytes", |s| wide(s.send()?.requested_bytes?)),
    int("send_sent_bytes", |s| wide(s.send()?.sent_bytes)),
    text("lost_where", |s| known(s.lost()?.at.name())),
    text("lost_event", |s| known(s.lost()?.event_kind?.name())),
    int("lost_count", |s| wide(s.lost()?.count)),
    text("waiting_why", |s| known(s.waiting()?.why.name())),
    int("waiting_for_us", |s| wide(s.waiting()?.for_us)),
    int("waiting_queued_bytes", |s| wide(s.waiting()?.queued_bytes?)),
    text("waiting_timer", |s| known(s.waiting()?.timer?.name())),
    flag("waiting_ended", |s| Some(s.waiting()?.ended)),
    flag("waiting_unfinished", |s| Some(s.waiting()?.unfinished)),
    int("waiting_blocked_writers", |s| {
        s.waiting()?.blocked_writers.map(i64::from)
    }),
    int("waiting_errno", |s| s.waiting()?.errno.map(i64::from)),
    int("waiting_soft_errno", |s| {
        s.waiting()?.soft_errno.map(i64::from)
    }),
    int("waiting_busy_us", |s| wide(s.waiting()?.busy_us?)),
    int("waiting_rwnd_limited_us", |s| {
        wide(s.waiting()?.rwnd_limited_us?)
    }),
    int("waiting_sndbuf_limited_us", |s| {
        wide(s.waiting()?.sndbuf_limited_us?)
    }),
    text("waiting_congestion_control", |s| {
        s.waiting()?
            .congestion_control
            .as_deref()
            .map(Cow::Borrowed)
    }),
    int("waiting_sent_segments", |s| {
        s.waiting()?.sent_segments.map(i64::from)
    }),
    int("waiting_acked_bytes", |s| wide(s.waiting()?.acked_bytes?)),
    int("waiting_retransmitted_segments", |s| {
        s.waiting()?.retransmitted_segments.map(i64::from)
    }),
    int("waiting_reordering_segments", |s| {
        s.waiting()?.reordering_segments.map(i64::from)
    }),
    int("blocked_blocked_us", |s| wide(s.blocked()?.blocked_us?)),
    int("blocked_requested_bytes", |s| {
        wide(s.blocked()?.requested_bytes?)
    }),
    int("blocked_sent_bytes", |s| wide(s.blocked()?.sent_bytes?)),
    text("tcp_state", |s| state(s.tcp()?.state)),
    int("tcp_send_queue_bytes", |s| {
        s.tcp()?.send_queue_bytes.map(i64::from)
    }),
    int("tcp_sndbuf_bytes", |s| s.tcp()?.sndbuf_bytes.map(i64::from)),
    int("tcp_cwnd_segments", |s| {
        s.tcp()?.cwnd_segments.map(i64::from)
    }),
    int("tcp_ssthresh_segments", |s| {
        s.tcp()?.ssthresh_segments.map(i64::from)
    }),
    int("tcp_srtt_us", |s| wide(s.tcp()?.srtt_us?)),
    int("tcp_rto_us", |s| wide(s.tcp()?.rto_us?)),
    int("tcp_backoff", |s| s.tcp()?.backoff.map(i64::from)),
    int("tcp_mss_bytes", |s| s.tcp()?.mss_bytes.map(i64::from)),
    int("tcp_pmtu_bytes", |s| s.tcp()?.pmtu_bytes.map(i64::from)),
    int("tcp_peer_window_bytes", |s| {
        s.tcp()?.peer_window_bytes.map(i64::from)
    }),
    int("tcp_unacked_segments", |s| {
        s.tcp()?.unacked_segments.map(i64::from)
    }),
    int("tcp_lost_segments", |s| {
        s.tcp()?.lost_segments.map(i64::from)
    }),
    int("tcp_last_send_us_ago", |s| wide(s.tcp()?.last_send_us_ago?)),
    int("tcp_last_ack_us_ago", |s| wide(s.tcp()?.last_ack_us_ago?)),
    text("tcp_ca_state", |s| known(s.tcp()?.ca_state?.name())),
    int("tcp_wmem_queued_bytes", |s| {
        s.tcp()?.wmem_queued_bytes.map(i64::from)
    }),
];

/// What is called so in [`COLUMNS`] of the details.
macro_rules! details {
    ($($name:ident: $variant:ident($detail:ty)),+) => {
        $(fn $name(&self) -> Option<&'a $detail> {
            match &self.event.detail {
                Detail::$variant(detail) => Some(detail),
                _ => None,
            }
        })+
    };
}

impl<'a> Source<'a> {
    details!(
        retransmit: Retransmit(Retransmit),
        send_error: SendError(SendError),
        drop: Drop(PacketDrop),
        device: Device(Device),
        reset: Reset(Reset),
        connection: Connection(Connection),
        send: Send(SendOk),
        lost: Lost(Lost),
        waiting: Waiting(Waiting),
        blocked: Blocked(Blocked)
    );

    fn flow(&self) -> Option<&'a Flow> {
        self.event.flow.as_ref()
    }

    fn tcp(&self) -> Option<&'a Tcp> {
        self.event.tcp.as_ref()
    }

    /// Nanoseconds since 1970 of a time of CLOCK_BOOTTIME; `None` beyond the years 1678 to 2262.
    pub fn wall_ns(&self, boot_ns: u64) -> Option<i64> {
        let wall_ns = self.clock.wall_minus_boot_ns.checked_add(boot_ns.into())?;
        i64::try_from(wall_ns).ok()
    }
}

fn wide(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

fn known<'a>(name: &'static str) -> Option<Cow<'a, str>> {
    Some(Cow::Borrowed(name))
}

fn lossy(name: Option<&RawName>) -> Option<Cow<'_, str>> {
    name.map(RawName::lossy)
}

fn error_name<'a>(number: u32) -> Option<Cow<'a, str>> {
    errno::name(number).map(Cow::Borrowed)
}

fn way<'a>(direction: Option<Direction>) -> Option<Cow<'a, str>> {
    known(direction?.name())
}

fn state<'a>(state: Option<TcpState>) -> Option<Cow<'a, str>> {
    known(state?.name())
}

/// The address alone; a path, interface or port id where there is no address.
fn address<'a>(end: &Endpoint) -> Option<Cow<'a, str>> {
    let text = match end {
        Endpoint::Inet(address) => match (address.ip(), address) {
            (IpAddr::V6(ip), std::net::SocketAddr::V6(v6)) if v6.scope_id() != 0 => {
                format!("{ip}%{}", v6.scope_id())
            }
            (ip, _) => ip.to_string(),
        },
        other => other.lossy(),
    };
    Some(text.into())
}

fn port(end: &Endpoint) -> Option<i64> {
    match end {
        Endpoint::Inet(address) => Some(address.port().into()),
        _ => None,
    }
}
