//! Where the self-test makes its faults: a network namespace and a cgroup of its own, two processes in them, and
//! faults on command.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, unshare};
use tracer_common::selftest::FIRST_PORT;

use super::cgroup::Cgroup;
use super::child_handle::ChildHandle;
use super::expect::Flow;
use super::expected_hooks::{Attributions, ExpectedHooks};
use super::netlink::{self, Network, RECEIVER, SENDER};
use super::protocol::Request;
use tracer_capture::bpf_faults::BpfFaults;
use tracer_capture::kernel::facts::{self, Capability, Facts};

/// User of the process that sends: not ours, so that events must name the right one. `nobody` in most places.
const SENDER_UID: u32 = 65534;
/// From a port of the receiver to that of its sender.
const TO_LOCAL: u16 = 10_000;
const LOOPBACK: u32 = 1;

/// The sandbox. Dropped, the processes end, then the cgroup and the namespace go.
pub struct Sandbox {
    pub sender: ChildHandle,
    pub receiver: ChildHandle,
    pub faults: BpfFaults,
    pub network: Network,
    /// Inode number of the network namespace.
    pub netns: u64,
    /// Why segments cannot be lost.
    pub lossy: Result<(), String>,
    /// Why no policy can be set on the sends.
    pub cgroup: Result<Cgroup, String>,
    /// How a process is known that has sent.
    pub sent: Attributions,
    drops_sent: Option<Result<(), String>>,
    watches_drivers: Option<Result<(), String>>,
    next_port: u16,
}

/// An established TCP connection from the sender to the receiver.
pub struct Connection {
    /// Its sockets: `c…` of the sender, `s…` of the receiver.
    pub client: String,
    pub server: String,
    /// The receiver's port: what [`BpfFaults::lose`] wants.
    pub port: u16,
    /// As the sender sees it.
    pub flow: Flow,
}

impl Sandbox {
    /// Builds it.
    ///
    /// # Errors
    /// When there is no namespace or no process to be had; the text says what is missing.
    pub fn build(facts: &Facts, expected_hooks: &ExpectedHooks) -> Result<Self> {
        let sent = expected_hooks.sent();
        let uid = facts.has(Capability::SetUid).then_some(SENDER_UID);
        let faults = BpfFaults::load()?;
        // Only this thread enters the namespace; what it starts is born there.
        let built = thread::spawn(move || inside(faults, uid, sent)).join();
        let mut sandbox = built.map_err(|_| anyhow!("the sandbox could not be built"))??;
        sandbox.police(facts);
        let looks_up = expected_hooks.hook("task_file").is_ok();
        for actor in [&mut sandbox.sender, &mut sandbox.receiver] {
            actor.who.found_among_files = looks_up;
        }
        Ok(sandbox)
    }

    /// The cgroup, with its processes in it.
    fn police(&mut self, facts: &Facts) {
        let actors = [&mut self.sender, &mut self.receiver];
        self.cgroup = Cgroup::new(Path::new("/"), facts.cgroup2.as_deref()).and_then(|cgroup| {
            for actor in actors {
                cgroup.add(actor.who.pid)?;
                actor.who.cgroup = Some(cgroup.name.clone());
            }
            Ok(cgroup)
        });
    }

    /// Why this family (0: IPv4, 1: IPv6) cannot be used.
    ///
    /// # Errors
    /// The reason.
    pub fn family(&self, family: usize) -> Result<(), String> {
        if family == 0 {
            Ok(())
        } else {
            self.network.v6.clone()
        }
    }

    /// A port of the receiver that nobody has used.
    pub fn port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    /// The flow from the sender to this port of the receiver.
    pub fn flow(&self, proto: &'static str, family: usize, port: u16) -> Flow {
        Flow {
            proto,
            local: Some(local(family, port).to_string()),
            remote: Some(remote(family, port).to_string()),
            netns: self.netns,
        }
    }

    /// A listener at a new port: its name, and the port.
    ///
    /// # Errors
    /// When a request fails.
    pub fn listener(&mut self, family: usize) -> Result<(String, u16)> {
        let port = self.port();
        let name = format!("l{port}");
        self.receiver.must(&Request::Tcp {
            name: name.clone(),
            at: remote(family, port),
        })?;
        self.receiver
            .must(&Request::Listen { name: name.clone() })?;
        Ok((name, port))
    }

    /// A TCP socket of the sender, to be connected to this port.
    ///
    /// # Errors
    /// When a request fails.
    pub fn client(&mut self, family: usize, port: u16) -> Result<String> {
        let name = format!("c{port}");
        self.sender.must(&Request::Tcp {
            name: name.clone(),
            at: local(family, port),
        })?;
        Ok(name)
    }

    /// An established connection on which nobody has sent.
    ///
    /// # Errors
    /// When a request fails.
    pub fn connect(&mut self, family: usize) -> Result<Connection> {
        let (listener, port) = self.listener(family)?;
        let client = self.client(family, port)?;
        self.sender.must(&Request::Connect {
            name: client.clone(),
            to: remote(family, port),
            wait_ms: 10_000,
        })?;
        let server = format!("s{port}");
        self.receiver.must(&Request::Accept {
            listener,
            name: server.clone(),
        })?;
        Ok(Connection {
            client,
            server,
            port,
            flow: self.flow("tcp", family, port),
        })
    }

    /// A connection on which both have sent: the round trip is measured, and both are known as senders.
    ///
    /// # Errors
    /// When a request fails.
    pub fn warm(&mut self, family: usize) -> Result<Connection> {
        let connection = self.connect(family)?;
        for _ in 0..2 {
            say(
                &mut self.sender,
                &connection.client,
                &mut self.receiver,
                &connection.server,
            )?;
            say(
                &mut self.receiver,
                &connection.server,
                &mut self.sender,
                &connection.client,
            )?;
        }
        Ok(connection)
    }

    /// A UDP socket that has sent, so that its owner is known.
    ///
    /// # Errors
    /// When a request fails.
    pub fn known(actor: &mut ChildHandle, at: SocketAddr) -> Result<String> {
        let name = format!("u{at}");
        actor.must(&Request::Udp {
            name: name.clone(),
            at,
        })?;
        // To itself: it arrives.
        actor.must(&Request::Send {
            name: name.clone(),
            bytes: 1,
            to: Some(at),
        })?;
        actor.must(&Request::AwaitInput { name: name.clone() })?;
        actor.must(&Request::Drain { name: name.clone() })?;
        Ok(name)
    }

    /// Attaches something to the cgroup.
    ///
    /// # Errors
    /// Why that is not possible.
    pub fn in_cgroup(
        &mut self,
        attach: impl FnOnce(&mut BpfFaults, &File) -> Result<()>,
    ) -> Result<(), String> {
        let cgroup = self
            .cgroup
            .as_ref()
            .map_err(|why| format!("no policy can be set: {why}"))?;
        let attached = cgroup
            .open()
            .map_err(Into::into)
            .and_then(|dir| attach(&mut self.faults, &dir));
        attached.map_err(|error| format!("no policy can be set: {error:#}"))
    }

    /// From now on, datagrams to one port are dropped after the send.
    ///
    /// # Errors
    /// Why that is not possible.
    pub fn drop_sent(&mut self) -> Result<(), String> {
        if self.drops_sent.is_none() {
            self.drops_sent = Some(self.in_cgroup(|faults, dir| faults.attach_egress(dir)));
        }
        self.drops_sent.clone().unwrap_or(Ok(()))
    }

    /// From now on, what drivers say is counted.
    ///
    /// # Errors
    /// Why that is not possible.
    pub fn watch_drivers(&mut self) -> Result<(), String> {
        if self.watches_drivers.is_none() {
            let attached = self.faults.attach_xmit();
            self.watches_drivers = Some(
                attached.map_err(|error| format!("what drivers say cannot be counted: {error:#}")),
            );
        }
        self.watches_drivers.clone().unwrap_or(Ok(()))
    }
}

fn say(from: &mut ChildHandle, by: &str, to: &mut ChildHandle, at: &str) -> Result<()> {
    from.must(&Request::Send {
        name: by.to_owned(),
        bytes: 10,
        to: None,
    })?;
    let name = at.to_owned();
    to.must(&Request::AwaitInput { name: name.clone() })?;
    to.must(&Request::Drain { name })
}

/// The sender's end that belongs to a port of the receiver.
pub fn local(family: usize, port: u16) -> SocketAddr {
    SocketAddr::new(SENDER[family], port + TO_LOCAL)
}

/// The receiver's end.
pub fn remote(family: usize, port: u16) -> SocketAddr {
    SocketAddr::new(RECEIVER[family], port)
}

fn inside(mut faults: BpfFaults, uid: Option<u32>, sent: Attributions) -> Result<Sandbox> {
    unshare(CloneFlags::CLONE_NEWNET)
        .context("cannot make a network namespace (it takes CAP_SYS_ADMIN: run as root)")?;
    let network = netlink::set_up()
        .context("cannot set up a network namespace (it takes CAP_NET_ADMIN: run as root)")?;
    let lossy = faults
        .attach_wire(LOOPBACK)
        .map_err(|error| format!("segments cannot be lost on the loopback (XDP): {error:#}"));
    let sender = ChildHandle::start("selftest-send", uid)?;
    let receiver = ChildHandle::start("selftest-recv", None)?;
    let netns = facts::netns_of_pid(Path::new("/"), sender.who.pid)?;
    Ok(Sandbox {
        sender,
        receiver,
        faults,
        network,
        netns,
        lossy,
        cgroup: Err("not made".to_owned()),
        sent,
        drops_sent: None,
        watches_drivers: None,
        next_port: FIRST_PORT,
    })
}
