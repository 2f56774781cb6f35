//! Loads and commands the BPF programs of the self-test (`tracer-ebpf/src/selftest.rs`): faults that are made and
//! counted in the kernel.

use std::fs::File;

use anyhow::{Context as _, Result, anyhow};
use aya::maps::{Array, MapData};
use aya::programs::cgroup_sock_addr::CgroupSockAddr;
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, RawTracePoint, Xdp, XdpMode,
};
use aya::{Ebpf, EbpfLoader};
use tracer_common::selftest::FIRST_PORT;

/// The object that `build.rs` made.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);
static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/selftest-ebpf")));

/// A link to a cgroup is always one of several, and older kernels refuse to be told so.
const BESIDE_OTHERS: CgroupAttachMode = CgroupAttachMode::Single;

/// BpfFaults on command. Dropped, or when the process ends, nothing of it remains.
pub struct BpfFaults {
    ebpf: Ebpf,
    rules: Array<MapData, [u32; 3]>,
    counts: Array<MapData, u64>,
}

impl BpfFaults {
    /// Makes the maps; nothing is attached yet.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn load() -> Result<Self> {
        // No program of it asks for a type of the kernel.
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .load(&OBJECT.0)
            .context("the kernel did not create the maps of the self-test")?;
        let mut map = |name: &str| {
            ebpf.take_map(name)
                .with_context(|| format!("no map {name}"))
        };
        let rules = Array::try_from(map("RULES")?)?;
        let counts = Array::try_from(map("COUNTS")?)?;
        Ok(Self {
            ebpf,
            rules,
            counts,
        })
    }

    /// Puts the loss of segments on an interface of the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel refuses; the text is its reason.
    pub fn attach_wire(&mut self, index: u32) -> Result<()> {
        let program: &mut Xdp = self.program("wire")?.try_into()?;
        program.load().map_err(reason)?;
        let link = program
            .attach_to_if_index(index, XdpMode::Skb)
            .map_err(reason)?;
        // Goes with the namespace. An older kernel would detach by number, in the namespace of whatever thread
        // drops it: never detach.
        std::mem::forget(program.take_link(link)?);
        Ok(())
    }

    /// Attaches one of the programs that make sends of a cgroup fail.
    ///
    /// # Errors
    /// When the kernel refuses; the text is its reason.
    pub fn attach_refusal(&mut self, name: &str, cgroup: &File) -> Result<()> {
        let program: &mut CgroupSockAddr = self.program(name)?.try_into()?;
        program.load().map_err(reason)?;
        program.attach(cgroup, BESIDE_OTHERS).map_err(reason)?;
        Ok(())
    }

    /// Attaches the program that drops what a cgroup has sent.
    ///
    /// # Errors
    /// When the kernel refuses; the text is its reason.
    pub fn attach_egress(&mut self, cgroup: &File) -> Result<()> {
        let program: &mut CgroupSkb = self.program("drop_sent")?.try_into()?;
        program.load().map_err(reason)?;
        program
            .attach(cgroup, CgroupSkbAttachType::Egress, BESIDE_OTHERS)
            .map_err(reason)?;
        Ok(())
    }

    /// Attaches the second opinion on network drivers.
    ///
    /// # Errors
    /// When the kernel refuses; the text is its reason.
    pub fn attach_xmit(&mut self) -> Result<()> {
        let program: &mut RawTracePoint = self.program("xmit")?.try_into()?;
        program.load().map_err(reason)?;
        program.attach("net_dev_xmit").map_err(reason)?;
        Ok(())
    }

    /// Attaches the count of switches from process 1.
    ///
    /// # Errors
    /// When the kernel refuses; the text is its reason.
    pub fn attach_switches(&mut self) -> Result<()> {
        let program: &mut RawTracePoint = self.program("switches")?.try_into()?;
        program.load().map_err(reason)?;
        program.attach("sched_switch").map_err(reason)?;
        Ok(())
    }

    /// Loses the next `count` segments of these kinds ([`tracer_common::selftest::segment`]) to a port.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn lose(&mut self, port: u16, kinds: u32, count: u32) -> Result<()> {
        let place = u32::from(port - FIRST_PORT);
        Ok(self.rules.set(place, [kinds, count, 0], 0)?)
    }

    /// How many segments to a port were lost since.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn lost(&self, port: u16) -> Result<u32> {
        Ok(self.rules.get(&u32::from(port - FIRST_PORT), 0)?[2])
    }

    /// One of [`tracer_common::selftest::counter`].
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counter(&self, counter: u32) -> Result<u64> {
        Ok(self.counts.get(&counter, 0)?)
    }

    fn program(&mut self, name: &str) -> Result<&mut aya::programs::Program> {
        self.ebpf
            .program_mut(name)
            .with_context(|| format!("no program {name}"))
    }
}

/// The kernel's own word, without what aya wraps around it.
fn reason(error: aya::programs::ProgramError) -> anyhow::Error {
    use aya::programs::ProgramError;
    match error {
        ProgramError::LoadError { io_error, .. } => anyhow!("the kernel refuses it: {io_error}"),
        ProgramError::SyscallError(call) => anyhow!("the kernel refuses it: {}", call.io_error),
        other => anyhow!(other),
    }
}
