//! The last column: what happened, in the order of what matters.

use std::borrow::Cow;

use tracer_model::errno;
use tracer_model::escape;
use tracer_model::event::{
    Blocked, Connection, Detail, Device, Direction, Event, Outcome, PacketDrop, RawName, Reset,
    Retransmit, SendError, SendOk, SocketTimer, Tcp, TcpState, WaitReason, Waiting,
};

/// What identifies the failure, and values that may be left out, the most telling first.
pub(super) struct WhatColumn {
    pub first: String,
    pub more: Vec<String>,
}

pub(super) fn what(event: &Event) -> WhatColumn {
    let mut what = match &event.detail {
        Detail::Retransmit(r) => retransmit(r, event.tcp.as_ref()),
        Detail::SendError(e) => send_error(e),
        Detail::Drop(d) => dropped(d),
        Detail::Device(d) => device(d),
        Detail::Reset(r) => reset(r),
        Detail::Connection(c) => connection(c),
        Detail::Send(s) => sent(s),
        Detail::Lost(lost) => {
            let event_kind = lost.event_kind.map_or("", |event_kind| event_kind.name());
            let space = if event_kind.is_empty() { "" } else { " " };
            WhatColumn {
                first: format!(
                    "{} {event_kind}{space}events at {}",
                    lost.count,
                    lost.at.name()
                ),
                more: Vec::new(),
            }
        }
        Detail::Waiting(w) => waiting(w, event.tcp.as_ref()),
        Detail::Blocked(b) => blocked(b),
    };
    if event.count > 1 {
        what.first.insert_str(0, &format!("×{} ", event.count));
    }
    what
}

fn retransmit(r: &Retransmit, tcp: Option<&Tcp>) -> WhatColumn {
    let mut first = r.cause.name().to_owned();
    if let Some(attempt) = r.attempt {
        first.push_str(&format!(" #{attempt}"));
    }
    if let Outcome::Failed(_) = r.outcome {
        first.push_str(&format!(" {}", r.outcome.name()));
    }
    let mut more = Vec::new();
    if let Some(rto) = tcp.and_then(|tcp| tcp.rto_us) {
        more.push(format!("rto={}", span(rto)));
    }
    if let Some(segments) = r.segments.filter(|segments| *segments > 1) {
        more.push(format!("{segments} segs"));
    }
    // A SYN has no payload, and nobody expects one.
    more.extend(r.bytes.filter(|bytes| *bytes > 0).map(size));
    if let Some(cwnd) = tcp.and_then(|tcp| tcp.cwnd_segments) {
        more.push(format!("cwnd={cwnd}"));
    }
    if let Some(queue) = tcp.and_then(|tcp| tcp.send_queue_bytes) {
        more.push(format!("sendq={queue}"));
    }
    WhatColumn { first, more }
}

fn send_error(e: &SendError) -> WhatColumn {
    let mut more = Vec::new();
    match (e.sent_bytes, e.requested_bytes) {
        (Some(sent), Some(requested)) => more.push(format!("{sent}/{requested} B")),
        (None, Some(requested)) => more.push(format!("?/{requested} B")),
        (_, None) => {}
    }
    if let Some(blocked) = e.blocked_us.filter(|us| *us >= 1000) {
        more.push(format!("after {}", span(blocked)));
    }
    WhatColumn {
        first: errno::display(e.errno).into_owned(),
        more,
    }
}

fn sent(s: &SendOk) -> WhatColumn {
    let first = match s.requested_bytes {
        Some(requested) if requested != s.sent_bytes => format!("{}/{requested} B", s.sent_bytes),
        _ => size(s.sent_bytes),
    };
    WhatColumn {
        first,
        more: Vec::new(),
    }
}

fn waiting(w: &Waiting, tcp: Option<&Tcp>) -> WhatColumn {
    let mut first = match (w.why, tcp.and_then(|tcp| tcp.peer_window_bytes)) {
        (WaitReason::PeerWindow, Some(window)) => format!("peer window {window}"),
        (WaitReason::PeerWindow, None) => "peer window".to_owned(),
        (WaitReason::SynSent, _) => "SYN unanswered".to_owned(),
        (WaitReason::Unacknowledged, _) => "unacknowledged".to_owned(),
        (WaitReason::WriterBlocked, _) => "writer blocked".to_owned(),
        (WaitReason::AcceptQueue, _) => "accept queue full".to_owned(),
        (WaitReason::BufferFull, _) => "buffer full".to_owned(),
        (WaitReason::Unread, _) => "peer closed".to_owned(),
        (WaitReason::Keepalive, _) => "keepalive unanswered".to_owned(),
    };
    if w.ended {
        first.push_str(" ended");
    } else if w.unfinished {
        first.push_str(" unfinished");
    }
    first.push_str(&format!(" {}", tenths(w.for_us)));
    let mut more = Vec::new();
    match (w.why, w.queued_bytes) {
        (WaitReason::AcceptQueue, Some(queued)) => more.push(format!("{queued} queued")),
        (_, queued) => more.extend(queued.map(size)),
    }
    if w.why != WaitReason::WriterBlocked && w.blocked_writers.is_some_and(|writers| writers > 0) {
        more.push("writer blocked".to_owned());
    }
    if let Some(errno) = w.soft_errno.filter(|errno| *errno != 0) {
        more.push(errno::display(errno).into_owned());
    }
    if let Some(timer) = w.timer.filter(|timer| *timer != SocketTimer::None) {
        more.push(format!("timer={}", timer.name()));
    }
    WhatColumn { first, more }
}

fn blocked(b: &Blocked) -> WhatColumn {
    let first = match b.blocked_us {
        Some(us) => format!("blocked {}", tenths(us)),
        None => "blocked".to_owned(),
    };
    let more = match (b.sent_bytes, b.requested_bytes) {
        (Some(sent), Some(requested)) if sent != requested => vec![format!("{sent}/{requested} B")],
        (Some(sent), _) => vec![size(sent)],
        (None, _) => Vec::new(),
    };
    WhatColumn { first, more }
}

fn dropped(d: &PacketDrop) -> WhatColumn {
    let way = match d.direction {
        Some(Direction::Sent) => " tx",
        Some(Direction::Received) => " rx",
        None => "",
    };
    let reason = d
        .reason
        .as_deref()
        .map_or(Cow::Borrowed("no reason given"), |reason| {
            escape::name(reason.as_bytes()).into()
        });
    let mut more = Vec::new();
    more.extend(interface(d.interface.as_ref(), d.ifindex));
    more.extend(d.bytes.map(size));
    more.extend(
        d.location
            .as_ref()
            .map(|location| format!("at {}", escape::name(location.as_bytes()))),
    );
    WhatColumn {
        first: format!("{reason}{way}"),
        more,
    }
}

fn device(d: &Device) -> WhatColumn {
    let mut more = Vec::new();
    more.extend(interface(d.interface.as_ref(), d.ifindex));
    more.extend(d.queue.map(|queue| format!("queue {queue}")));
    more.extend(d.bytes.map(size));
    let requeued = if d.requeued() { " requeued" } else { "" };
    WhatColumn {
        first: format!("{}{requeued}", d.name()),
        more,
    }
}

fn reset(r: &Reset) -> WhatColumn {
    let way = r
        .direction
        .map_or(String::new(), |direction| format!(" {}", direction.name()));
    WhatColumn {
        first: format!("RST{way}"),
        more: r
            .reason
            .iter()
            .map(|reason| escape::name(reason.as_bytes()))
            .collect(),
    }
}

fn connection(c: &Connection) -> WhatColumn {
    let state = |state: Option<TcpState>| state.map_or("?", TcpState::name);
    let errno = c
        .errno
        .map_or(String::new(), |errno| format!(" {}", errno::display(errno)));
    // A connect that failed before anything was sent has changed no state.
    let first = if c.from == c.to && matches!(c.from, None | Some(TcpState::Close)) {
        format!("connect{errno}")
    } else {
        format!("{}→{}{errno}", state(c.from), state(c.to))
    };
    WhatColumn {
        first,
        more: Vec::new(),
    }
}

fn interface(name: Option<&RawName>, ifindex: Option<u32>) -> Option<String> {
    name.map(|name| escape::name(name.as_bytes()))
        .or_else(|| ifindex.map(|index| format!("ifindex {index}")))
}

fn size(bytes: u64) -> String {
    format!("{bytes} B")
}

/// As [`span`], from a second on in tenths: nobody needs more of a wait.
fn tenths(us: u64) -> String {
    const TENTH: u64 = 100_000;
    span(if us < 10 * TENTH { us } else { us - us % TENTH })
}

/// Microseconds as `412us`, `200ms`, `1.6s`, three digits at most behind the point.
pub(in crate::render) fn span(us: u64) -> String {
    let (unit, name) = match us {
        0..1_000 => return format!("{us}us"),
        1_000..1_000_000 => (1_000, "ms"),
        _ => (1_000_000, "s"),
    };
    let thousandths = format!("{:03}", us % unit * 1_000 / unit);
    let decimals = thousandths.trim_end_matches('0');
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{}{point}{decimals}{name}", us / unit)
}
