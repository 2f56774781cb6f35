//! The kernel sends for a file system: mount(2) of NFS against a server that refuses, in a thread here.
//!
//! Each RPC call is one send of the kernel's own socket: the record mark and the call together over TCP, the
//! datagram over UDP. Calls that carry pages (data) would take more; these do not get that far.

mod server;

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use nix::mount::MsFlags;
use scenarios::paths::{By, Call, SendReport, Sends};

use crate::Job;
use crate::sockets::end;

/// What is mounted, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V3OverTcp,
    V3OverUdp,
    V4,
}

/// Mounts until enough calls have arrived, and says which sends they were.
pub fn run(version: Version, job: Job) -> Result<SendReport> {
    let server = server::Server::start()?;
    let at = server.address();
    let dir = tempfile::tempdir()?;
    let mut note = None;
    let mut options = options(version, at);
    let mut unsupported = None;
    // A mount makes at least one call; whoever makes none more than once has no reason to make any.
    while server.calls() < job.count {
        let before = server.calls();
        let source = format!("{}:/nothing", at.ip());
        let flags = MsFlags::MS_RDONLY;
        let result = nix::mount::mount(
            Some(source.as_str()),
            dir.path(),
            Some("nfs"),
            flags,
            Some(options.as_str()),
        );
        if result.is_ok() {
            nix::mount::umount(dir.path()).context("umount of what must not be mounted")?;
        }
        if server.calls() > before {
            continue;
        }
        let how = options.split(",addr=").next().unwrap_or(&options);
        let why = match result {
            Err(errno) => format!("mount(nfs, {how}): {errno}"),
            Ok(()) => bail!("mount(nfs, {how}) without asking the server"),
        };
        if version == Version::V3OverUdp && note.is_none() {
            // CONFIG_NFS_DISABLE_UDP_SUPPORT: the file system's calls go over TCP alone, but the question
            // for its root still goes over UDP, through the same code of sunrpc.
            note = Some(
                "NFS itself is not built for UDP here: calls of its MOUNT protocol over UDP"
                    .to_owned(),
            );
            options = options.replace(",proto=udp", ",proto=tcp");
            continue;
        }
        unsupported = Some(why);
        break;
    }
    let exchanges = server.stop()?;
    if let (Some(why), true) = (unsupported, exchanges.is_empty()) {
        return Ok(SendReport::unsupported(why));
    }
    let mut report = SendReport {
        note,
        ..SendReport::default()
    };
    for exchange in exchanges {
        let (proto, client) = (exchange.proto, end(exchange.client));
        // Over UDP the kernel's socket is not connected: it has a port, but no address of its own.
        let local = match proto {
            "udp" => end(([0, 0, 0, 0], exchange.client.port()).into()),
            _ => client.clone(),
        };
        let sent = |bytes: &Vec<usize>| -> Vec<Call> {
            bytes
                .iter()
                .map(|&bytes| Call {
                    requested: bytes as u64,
                    result: bytes as i64,
                })
                .collect()
        };
        let calls = Sends::of((proto, local, end(at)), sent(&exchange.calls));
        let replies = Sends::of((proto, end(at), client), sent(&exchange.replies));
        report.sends.push(calls.by(By::Kernel));
        report.sends.push(replies.by(By::AnyThread));
    }
    Ok(report)
}

/// As mount.nfs would hand them over. The port is the same for everything, so nobody is asked for it.
fn options(version: Version, at: SocketAddr) -> String {
    let (ip, port) = (at.ip(), at.port());
    let common = format!("addr={ip},port={port},soft,timeo=100,retrans=2,noresvport,sec=sys");
    let mount = format!("mountaddr={ip},mountport={port},mountvers=3,nolock");
    match version {
        Version::V3OverTcp => format!("vers=3,proto=tcp,mountproto=tcp,{common},{mount}"),
        Version::V3OverUdp => format!("vers=3,proto=udp,mountproto=udp,{common},{mount}"),
        Version::V4 => format!("vers=4.1,proto=tcp,{common},clientaddr={ip}"),
    }
}
