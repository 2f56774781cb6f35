//! What is said about one word.

use std::borrow::Cow;

use crate::rule::{Layer, Symptom};

/// What a word is. One word may be several: `unknown` is the cause of a retransmit, and the grade of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Errno,
    Diagnosis,
    Symptom,
    Layer,
    Confidence,
    Event,
    RetransmitCause,
    RetransmitOutcome,
    RetransmitTrigger,
    DropReason,
    DeviceCode,
    ResetReason,
    Direction,
    TcpState,
    CongestionState,
    Attribution,
    CountedKind,
    Counter,
    LostWhere,
    Field,
}

impl Kind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 20] = [
        Self::Errno,
        Self::Diagnosis,
        Self::Symptom,
        Self::Layer,
        Self::Confidence,
        Self::Event,
        Self::RetransmitCause,
        Self::RetransmitOutcome,
        Self::RetransmitTrigger,
        Self::DropReason,
        Self::DeviceCode,
        Self::ResetReason,
        Self::Direction,
        Self::TcpState,
        Self::CongestionState,
        Self::Attribution,
        Self::CountedKind,
        Self::Counter,
        Self::LostWhere,
        Self::Field,
    ];

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Errno => "errno",
            Self::Diagnosis => "diagnosis",
            Self::Symptom => "symptom",
            Self::Layer => "layer",
            Self::Confidence => "confidence",
            Self::Event => "event",
            Self::RetransmitCause => "retransmit_cause",
            Self::RetransmitOutcome => "retransmit_outcome",
            Self::RetransmitTrigger => "retransmit_trigger",
            Self::DropReason => "drop_reason",
            Self::DeviceCode => "device_code",
            Self::ResetReason => "reset_reason",
            Self::Direction => "direction",
            Self::TcpState => "tcp_state",
            Self::CongestionState => "congestion_state",
            Self::Attribution => "owner_grade",
            Self::CountedKind => "counted_kind",
            Self::Counter => "counter",
            Self::LostWhere => "lost_where",
            Self::Field => "field",
        }
    }

    /// For people, behind the word: `rto · cause of a retransmit`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Errno => "errno of a send",
            Self::Diagnosis => "cause that a report names",
            Self::Symptom => "symptom in a report",
            Self::Layer => "layer in a report",
            Self::Confidence => "confidence in a report",
            Self::Event => "event kind",
            Self::RetransmitCause => "cause of a retransmit",
            Self::RetransmitOutcome => "outcome of a retransmit",
            Self::RetransmitTrigger => "trigger of a retransmit",
            Self::DropReason => "reason of a drop",
            Self::DeviceCode => "code of a device",
            Self::ResetReason => "reason of a RST that was sent",
            Self::Direction => "direction",
            Self::TcpState => "state of a TCP connection",
            Self::CongestionState => "state of congestion control (ca_state)",
            Self::Attribution => "grade of an owner",
            Self::CountedKind => "kind of what is counted, not listed",
            Self::Counter => "counter in the totals",
            Self::LostWhere => "where events were lost",
            Self::Field => "field of an event, in short",
        }
    }
}

/// What is said about one word. Text is for people, one paragraph each; what does not apply is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the tool prints it.
    pub word: Cow<'static, str>,
    pub kind: Kind,
    /// Of an errno.
    pub number: Option<u32>,
    pub means: &'static str,
    /// Why a report concludes it.
    pub why: Option<&'static str>,
    /// Where in the kernel (or in sendtrace) it comes from.
    pub from: Option<&'static str>,
    pub symptom: Option<Symptom>,
    /// `None`: no single one.
    pub points_to: Option<Layer>,
    /// The layer that it does not point to, and why.
    pub not_layer: Option<&'static str>,
    /// What would show that it is something else.
    pub refuted_by: Option<&'static str>,
    /// What to look at next.
    pub next: Option<&'static str>,
    /// What makes it worse.
    pub worse: Option<&'static str>,
}

impl Entry {
    pub const fn new(kind: Kind, word: &'static str, means: &'static str) -> Self {
        Self {
            word: Cow::Borrowed(word),
            kind,
            number: None,
            means,
            why: None,
            from: None,
            symptom: None,
            points_to: None,
            not_layer: None,
            refuted_by: None,
            next: None,
            worse: None,
        }
    }

    #[must_use]
    pub const fn from(mut self, from: &'static str) -> Self {
        self.from = Some(from);
        self
    }

    #[must_use]
    pub const fn to(mut self, layer: Layer) -> Self {
        self.points_to = Some(layer);
        self
    }

    #[must_use]
    pub const fn not(mut self, not_layer: &'static str) -> Self {
        self.not_layer = Some(not_layer);
        self
    }

    #[must_use]
    pub const fn next(mut self, next: &'static str) -> Self {
        self.next = Some(next);
        self
    }

    #[must_use]
    pub const fn worse(mut self, worse: &'static str) -> Self {
        self.worse = Some(worse);
        self
    }
}
