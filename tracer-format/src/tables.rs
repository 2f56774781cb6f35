//! The tables of a block: every text, owner and flow that its events use, so that a lost block costs only
//! itself. Rows are numbered from 0 in the order of their first use.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;

use super::column::{Column, Columns, Unpacked, Writer, optional, small};
use super::wire::Malformed;
use tracer_model::event::{Attribution, Endpoint, Flow, Holder, Kubernetes, Owner, RawName};

/// What [`Endpoint`] it is. The numbers are the format.
mod kind {
    pub const NONE: u64 = 0;
    /// Name: 4 bytes of address, or 16. Number: port.
    pub const INET: u64 = 1;
    /// Name: 16 bytes of address, then flow information and scope (little-endian). Number: port.
    pub const INET6_SCOPED: u64 = 2;
    /// Name: 4 bytes of address, or 16.
    pub const ADDRESS: u64 = 3;
    /// Name: the path.
    pub const UNIX: u64 = 4;
    /// Number: the port id.
    pub const NETLINK: u64 = 5;
    /// Number: the index.
    pub const INDEX: u64 = 6;
    /// Name: of the interface. Number: the index.
    pub const INTERFACE: u64 = 7;
}

/// Tables being written: a row goes to the columns when it is first used.
#[derive(Default)]
pub struct Interner {
    texts: Rows<Vec<u8>>,
    owners: Rows<Owner>,
    flows: Rows<Flow>,
    /// Of the row before.
    started: u64,
    socket: u64,
}

struct Rows<T>(HashMap<T, u32, RandomState>);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T: Hash + Eq> Rows<T> {
    fn insert(&mut self, row: T) -> u64 {
        // A block is closed long before it has so many rows.
        let number = self.0.len() as u32;
        self.0.insert(row, number);
        number.into()
    }
}

impl Interner {
    pub fn clear(&mut self) {
        self.texts.0.clear();
        self.owners.0.clear();
        self.flows.0.clear();
        (self.started, self.socket) = (0, 0);
    }

    /// The number of a text.
    pub fn text(&mut self, out: &mut Writer, bytes: &[u8]) -> u64 {
        let bytes = cut(bytes);
        if let Some(number) = self.texts.0.get(bytes) {
            return u64::from(*number);
        }
        out.number(Column::TextLengths, bytes.len() as u64);
        out.bytes(Column::TextBytes, bytes);
        self.texts.insert(bytes.to_vec())
    }

    /// The number of a text, or `None`.
    pub fn maybe_text(&mut self, out: &mut Writer, bytes: Option<&[u8]>) -> Option<u64> {
        bytes.map(|bytes| self.text(out, bytes))
    }

    /// The number of an owner.
    pub fn owner(&mut self, out: &mut Writer, owner: &Owner) -> u64 {
        if let Some(number) = self.owners.0.get(owner) {
            return u64::from(*number);
        }
        out.number(Column::OwnerGrade, grade_number(owner.grade));
        out.optional(Column::OwnerPid, owner.pid.map(u64::from));
        let pid = optional(owner.pid.map(u64::from));
        let tid = optional(owner.tid.map(u64::from));
        out.signed(Column::OwnerTid, tid.wrapping_sub(pid) as i64);
        let comm = self.maybe_text(out, owner.comm.as_ref().map(RawName::as_bytes));
        out.optional(Column::OwnerComm, comm);
        out.optional(Column::OwnerUid, owner.uid.map(u64::from));
        let cgroup = self.maybe_text(out, owner.cgroup.as_deref().map(str::as_bytes));
        out.optional(Column::OwnerCgroup, cgroup);
        let started = optional(owner.started_boot_ns);
        out.signed(
            Column::OwnerStarted,
            started.wrapping_sub(self.started) as i64,
        );
        self.started = started;
        let why = self.maybe_text(out, owner.why.as_deref().map(str::as_bytes));
        out.optional(Column::OwnerWhy, why);
        let cmdline = self.maybe_text(out, owner.cmdline.as_deref().map(RawName::as_bytes));
        out.optional(Column::OwnerCmdline, cmdline);
        let kubernetes = owner.kubernetes.as_deref();
        for name in [
            kubernetes.map(|known| &known.namespace),
            kubernetes.map(|known| &known.pod),
            kubernetes.and_then(|known| known.container.as_ref()),
        ] {
            let name = self.maybe_text(out, name.map(|name| name.as_bytes()));
            out.optional(Column::OwnerKubernetes, name);
        }
        out.number(Column::OwnerHolders, owner.holders.len() as u64);
        for holder in &owner.holders {
            out.number(Column::OwnerHolders, u64::from(holder.pid));
            out.optional(Column::OwnerHolders, holder.started_boot_ns);
            let comm = self.maybe_text(out, holder.comm.as_ref().map(RawName::as_bytes));
            out.optional(Column::OwnerHolders, comm);
            out.optional(Column::OwnerHolders, holder.fd.map(u64::from));
        }
        self.owners.insert(owner.clone())
    }

    /// The number of a flow.
    pub fn flow(&mut self, out: &mut Writer, flow: &Flow) -> u64 {
        if let Some(number) = self.flows.0.get(flow) {
            return u64::from(*number);
        }
        let proto = self.text(out, flow.proto.as_bytes());
        out.number(Column::FlowProto, proto);
        out.optional(Column::FlowNetns, flow.netns.map(u64::from));
        let socket = optional(flow.socket);
        out.signed(Column::FlowSocket, socket.wrapping_sub(self.socket) as i64);
        self.socket = socket;
        self.endpoint(out, LOCAL, flow.local.as_ref());
        self.endpoint(out, REMOTE, flow.remote.as_ref());
        self.flows.insert(flow.clone())
    }

    fn endpoint(&mut self, out: &mut Writer, columns: EndColumns, end: Option<&Endpoint>) {
        let (kind, name, number): (u64, Option<Vec<u8>>, Option<u64>) = match end {
            None => (kind::NONE, None, None),
            Some(Endpoint::Inet(SocketAddr::V6(v6)))
                if v6.flowinfo() != 0 || v6.scope_id() != 0 =>
            {
                let mut name = v6.ip().octets().to_vec();
                name.extend(v6.flowinfo().to_le_bytes());
                name.extend(v6.scope_id().to_le_bytes());
                (kind::INET6_SCOPED, Some(name), Some(v6.port().into()))
            }
            Some(Endpoint::Inet(address)) => (
                kind::INET,
                Some(octets(address.ip())),
                Some(address.port().into()),
            ),
            Some(Endpoint::Address(address)) => (kind::ADDRESS, Some(octets(*address)), None),
            Some(Endpoint::Unix(path)) => (kind::UNIX, Some(path.as_bytes().to_vec()), None),
            Some(Endpoint::Netlink(port)) => (kind::NETLINK, None, Some((*port).into())),
            Some(Endpoint::Interface { index, name: None }) => {
                (kind::INDEX, None, Some((*index).into()))
            }
            Some(Endpoint::Interface {
                index,
                name: Some(name),
            }) => (
                kind::INTERFACE,
                Some(name.as_bytes().to_vec()),
                Some((*index).into()),
            ),
        };
        out.number(columns.kind, kind);
        if let Some(name) = name {
            let name = self.text(out, &name);
            out.number(columns.name, name);
        }
        if let Some(number) = number {
            out.number(columns.number, number);
        }
    }
}

#[derive(Clone, Copy)]
struct EndColumns {
    kind: Column,
    name: Column,
    number: Column,
}

const LOCAL: EndColumns = EndColumns {
    kind: Column::FlowLocalKind,
    name: Column::FlowLocalName,
    number: Column::FlowLocalNumber,
};

const REMOTE: EndColumns = EndColumns {
    kind: Column::FlowRemoteKind,
    name: Column::FlowRemoteName,
    number: Column::FlowRemoteNumber,
};

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The numbers are the format.
const GRADES: [Attribution; 9] = [
    Attribution::Unknown,
    Attribution::AtSend,
    Attribution::AtConnect,
    Attribution::AtAccept,
    Attribution::AtListen,
    Attribution::Seeded,
    Attribution::LastKnown,
    Attribution::Shared,
    Attribution::Kernel,
];

fn grade_number(grade: Attribution) -> u64 {
    GRADES
        .iter()
        .position(|known| *known == grade)
        .map_or(0, |number| number as u64)
}

/// What the tables and notes of one block may take in memory, bytes. A few bytes of a hostile file could name the
/// same long text in every row.
const MOST_MEMORY: usize = 16 << 20;

/// No text is longer than this, bytes: paths of Linux have 4096.
pub const MOST_TEXT: usize = 64 << 10;

/// As much of a text as may be written; what is UTF-8 stays so.
fn cut(bytes: &[u8]) -> &[u8] {
    let Some(mut end) = Some(MOST_TEXT).filter(|most| *most < bytes.len()) else {
        return bytes;
    };
    // No character has more than three bytes that go on with it.
    for _ in 0..3 {
        end -= usize::from(bytes[end] & 0xc0 == 0x80);
    }
    &bytes[..end]
}

/// The texts of a block that was read.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each one ends.
    ends: Vec<usize>,
    /// Of [`MOST_MEMORY`]; an atomic so that a block can go to another thread.
    taken: AtomicUsize,
}

impl Texts {
    /// # Errors
    /// When lengths and bytes contradict each other.
    pub fn read(columns: &Columns) -> Result<Self, Malformed> {
        let mut lengths = columns.unpack(Column::TextLengths)?;
        let mut all = columns.unpack(Column::TextBytes)?;
        let bytes = all.take(all.len())?.to_vec();
        let mut texts = Self {
            bytes,
            ..Self::default()
        };
        // Each length takes a byte at least.
        texts.take(lengths.len() * size_of::<usize>())?;
        texts.ends.reserve_exact(lengths.len());
        let mut end = 0_usize;
        while !lengths.is_empty() {
            let length = usize::try_from(lengths.number()?).unwrap_or(usize::MAX);
            if length > MOST_TEXT {
                return Err(Malformed("a text is too long"));
            }
            end = end.saturating_add(length);
            texts.ends.push(end);
        }
        if end != texts.bytes.len() {
            return Err(Malformed("texts have not the length that they say"));
        }
        Ok(texts)
    }

    /// Counts memory that a row or note takes.
    ///
    /// # Errors
    /// When tables and notes take more than any block that was written here.
    pub fn take(&self, bytes: usize) -> Result<(), Malformed> {
        let before = self
            .taken
            .fetch_add(bytes.min(MOST_MEMORY), Ordering::Relaxed);
        if before.saturating_add(bytes) > MOST_MEMORY {
            return Err(Malformed("the tables or notes of a block are too large"));
        }
        Ok(())
    }

    /// # Errors
    /// When there is no text of this number.
    pub fn bytes(&self, number: u64) -> Result<&[u8], Malformed> {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let end = *self
            .ends
            .get(index)
            .ok_or(Malformed("a text is used that is not there"))?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Ok(&self.bytes[start..end])
    }

    /// A text for an event, of which only one is held at a time.
    ///
    /// # Errors
    /// When there is no text of this number, or it is not UTF-8.
    pub fn copy(&self, number: u64) -> Result<String, Malformed> {
        let text = std::str::from_utf8(self.bytes(number)?);
        text.map(str::to_owned)
            .map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// A text for a row.
    ///
    /// # Errors
    /// When there is no text of this number, or it is not UTF-8.
    pub fn string(&self, number: u64) -> Result<String, Malformed> {
        let bytes = self.owned(number)?;
        String::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// # Errors
    /// When there is no text of this number.
    pub fn name(&self, number: u64) -> Result<RawName, Malformed> {
        self.owned(number).map(RawName::new)
    }

    fn owned(&self, number: u64) -> Result<Vec<u8>, Malformed> {
        let bytes = self.bytes(number)?;
        self.take(bytes.len())?;
        Ok(bytes.to_vec())
    }
}

/// Reads the table of owners.
///
/// # Errors
/// When a row is incomplete or uses what is not there.
pub fn owners(columns: &Columns, texts: &Texts) -> Result<Vec<Owner>, Malformed> {
    let mut grade = columns.unpack(Column::OwnerGrade)?;
    let mut pid = columns.unpack(Column::OwnerPid)?;
    let mut tid = columns.unpack(Column::OwnerTid)?;
    let mut comm = columns.unpack(Column::OwnerComm)?;
    let mut uid = columns.unpack(Column::OwnerUid)?;
    let mut cgroup = columns.unpack(Column::OwnerCgroup)?;
    let mut started = columns.unpack(Column::OwnerStarted)?;
    let mut why = columns.unpack(Column::OwnerWhy)?;
    let mut holders = columns.unpack(Column::OwnerHolders)?;
    let mut cmdline = columns.unpack(Column::OwnerCmdline)?;
    let mut kubernetes = columns.unpack(Column::OwnerKubernetes)?;
    // Traces of older versions have neither.
    let (has_cmdlines, has_kubernetes) = (!cmdline.is_empty(), !kubernetes.is_empty());
    let mut last_started = 0_u64;
    let mut owners = Vec::new();
    while !grade.is_empty() {
        texts.take(size_of::<Owner>())?;
        let number = usize::try_from(grade.number()?).unwrap_or(usize::MAX);
        let pid = pid.optional_u32()?;
        let of_pid = optional(pid.map(u64::from));
        let tid = of_pid.wrapping_add(tid.signed()? as u64).checked_sub(1);
        last_started = last_started.wrapping_add(started.signed()? as u64);
        owners.push(Owner {
            // A grade of a newer tool says nothing to this one.
            grade: GRADES.get(number).copied().unwrap_or_default(),
            pid,
            tid: tid.map(small).transpose()?,
            comm: comm.optional()?.map(|text| texts.name(text)).transpose()?,
            uid: uid.optional_u32()?,
            cgroup: cgroup
                .optional()?
                .map(|text| texts.string(text))
                .transpose()?,
            cmdline: match has_cmdlines {
                true => cmdline
                    .optional()?
                    .map(|text| texts.name(text).map(Arc::new))
                    .transpose()?,
                false => None,
            },
            kubernetes: match has_kubernetes {
                true => read_kubernetes(&mut kubernetes, texts)?.map(Arc::new),
                false => None,
            },
            started_boot_ns: last_started.checked_sub(1),
            holders: Vec::new(),
            why: why.optional()?.map(|text| texts.string(text)).transpose()?,
        });
        if let Some(owner) = owners.last_mut() {
            let all = read_holders(&mut holders, texts, &mut owner.holders)?;
            if all > MOST_HOLDERS {
                let why = format!("{all} processes hold it: {MOST_HOLDERS} of them are listed");
                owner.why = Some(why);
            }
        }
    }
    Ok(owners)
}

fn read_kubernetes(column: &mut Unpacked, texts: &Texts) -> Result<Option<Kubernetes>, Malformed> {
    let mut next = || {
        let text = column.optional()?;
        text.map(|text| texts.string(text)).transpose()
    };
    let (namespace, pod, container) = (next()?, next()?, next()?);
    Ok(namespace.zip(pod).map(|(namespace, pod)| Kubernetes {
        namespace,
        pod,
        container,
    }))
}

/// Of one socket no more holders are listed than this: each takes many times its size when it is printed.
pub const MOST_HOLDERS: u64 = 4096;

/// Gives how many there are.
fn read_holders(
    column: &mut Unpacked,
    texts: &Texts,
    holders: &mut Vec<Holder>,
) -> Result<u64, Malformed> {
    let count = column.number()?;
    if count > column.len() as u64 {
        return Err(Malformed("an owner has more holders than there are bytes"));
    }
    for index in 0..count {
        texts.take(size_of::<Holder>())?;
        let holder = Holder {
            pid: small(column.number()?)?,
            started_boot_ns: column.optional()?,
            comm: column
                .optional()?
                .map(|text| texts.name(text))
                .transpose()?,
            fd: column.optional_u32()?,
        };
        if index < MOST_HOLDERS {
            holders.push(holder);
        }
    }
    Ok(count)
}

/// Reads the table of flows.
///
/// # Errors
/// When a row is incomplete or uses what is not there.
pub fn flows(columns: &Columns, texts: &Texts) -> Result<Vec<Flow>, Malformed> {
    let mut proto = columns.unpack(Column::FlowProto)?;
    let mut netns = columns.unpack(Column::FlowNetns)?;
    let mut socket = columns.unpack(Column::FlowSocket)?;
    let mut local = Ends::of(columns, LOCAL)?;
    let mut remote = Ends::of(columns, REMOTE)?;
    let mut last_socket = 0_u64;
    let mut last_proto = None;
    let mut flows = Vec::new();
    while !proto.is_empty() {
        texts.take(size_of::<Flow>())?;
        let number = proto.number()?;
        let proto = match &last_proto {
            Some((known, Cow::Borrowed(name))) if *known == number => Cow::Borrowed(*name),
            _ => tracer_model::event::proto_from_name(texts.string(number)?),
        };
        last_proto = Some((number, proto.clone()));
        last_socket = last_socket.wrapping_add(socket.signed()? as u64);
        flows.push(Flow {
            proto,
            netns: netns.optional_u32()?,
            socket: last_socket.checked_sub(1),
            local: local.next(texts)?,
            remote: remote.next(texts)?,
        });
    }
    Ok(flows)
}

/// The ends of flows on one side.
struct Ends {
    kind: Unpacked,
    name: Unpacked,
    number: Unpacked,
}

impl Ends {
    fn of(columns: &Columns, side: EndColumns) -> Result<Self, Malformed> {
        Ok(Self {
            kind: columns.unpack(side.kind)?,
            name: columns.unpack(side.name)?,
            number: columns.unpack(side.number)?,
        })
    }

    fn next(&mut self, texts: &Texts) -> Result<Option<Endpoint>, Malformed> {
        let end = match self.kind.number()? {
            kind::NONE => return Ok(None),
            kind::INET => {
                let address = address(texts.bytes(self.name.number()?)?)?;
                Endpoint::Inet(SocketAddr::new(address, self.port()?))
            }
            kind::INET6_SCOPED => {
                let name = texts.bytes(self.name.number()?)?;
                let (ip, rest) = name.split_at_checked(16).ok_or(BAD_ADDRESS)?;
                let rest: [u8; 8] = rest.try_into().map_err(|_| BAD_ADDRESS)?;
                let [a, b, c, d, e, f, g, h] = rest;
                let IpAddr::V6(ip) = address(ip)? else {
                    return Err(BAD_ADDRESS);
                };
                let flow_information = u32::from_le_bytes([a, b, c, d]);
                let scope = u32::from_le_bytes([e, f, g, h]);
                let address = SocketAddrV6::new(ip, self.port()?, flow_information, scope);
                Endpoint::Inet(address.into())
            }
            kind::ADDRESS => Endpoint::Address(address(texts.bytes(self.name.number()?)?)?),
            kind::UNIX => Endpoint::Unix(texts.name(self.name.number()?)?),
            kind::NETLINK => Endpoint::Netlink(small(self.number.number()?)?),
            kind::INDEX => Endpoint::Interface {
                index: small(self.number.number()?)?,
                name: None,
            },
            kind::INTERFACE => Endpoint::Interface {
                name: Some(texts.name(self.name.number()?)?),
                index: small(self.number.number()?)?,
            },
            _ => return Err(Malformed("an end of a flow is of a kind that is not known")),
        };
        Ok(Some(end))
    }

    fn port(&mut self) -> Result<u16, Malformed> {
        u16::try_from(self.number.number()?).map_err(|_| Malformed("a port is too large"))
    }
}

const BAD_ADDRESS: Malformed = Malformed("an address has not 4 or 16 bytes");

fn address(bytes: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).map_err(|_| BAD_ADDRESS)?;
    Ok(Ipv6Addr::from(octets).into())
}
