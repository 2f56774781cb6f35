//! The kernel sends for a block device: /dev/nbdN, whose other end is a thread here.
//!
//! The socket is made by this process, but `nbd_send_cmd()` sends on it: in a worker, or in whatever process
//! happened to wait for the disk. Each request is a header of 28 bytes; a write is followed by its pages, one
//! send each (`sock_xmit()` per bvec).

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use scenarios::paths::{By, Call, SendReport, Sends};

use crate::sockets::V4;
use crate::sys::{Page, ioctl};
use crate::{Job, sockets};

const NBD_SET_SOCK: u64 = 0xab00;
const NBD_SET_BLKSIZE: u64 = 0xab01;
const NBD_DO_IT: u64 = 0xab03;
const NBD_CLEAR_SOCK: u64 = 0xab04;
const NBD_SET_SIZE_BLOCKS: u64 = 0xab07;
const NBD_DISCONNECT: u64 = 0xab08;
const NBD_SET_TIMEOUT: u64 = 0xab09;

const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
const REQUEST_BYTES: usize = 28;
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;

/// Minors that the module makes when nothing else is said.
const DEVICES: u32 = 16;
const DEADLINE: Duration = Duration::from_secs(20);

/// The sends of both sides.
#[derive(Default)]
struct Log {
    kernel: Vec<Call>,
    ours: Vec<Call>,
}

/// Writes and reads blocks of a device, and says which sends the requests that arrived were made of.
pub fn run(job: Job) -> Result<SendReport> {
    let pair = sockets::tcp(V4)?;
    let flow = pair.flow();
    let back = (flow.0, flow.2.clone(), flow.1.clone());
    let (device, path, number) = match claim(&pair.socket)? {
        Ok(claimed) => claimed,
        Err(why) => return Ok(SendReport::unsupported(why)),
    };
    ioctl(&device, NBD_SET_BLKSIZE, Page::SIZE as u64).context("NBD_SET_BLKSIZE")?;
    ioctl(&device, NBD_SET_SIZE_BLOCKS, 64).context("NBD_SET_SIZE_BLOCKS")?;
    ioctl(&device, NBD_SET_TIMEOUT, DEADLINE.as_secs()).context("NBD_SET_TIMEOUT")?;
    let server = std::thread::spawn(move || serve(&TcpStream::from(pair.other)));
    let worker = {
        let device = device.try_clone()?;
        std::thread::spawn(move || ioctl(&device, NBD_DO_IT, 0))
    };
    let used = until_it_runs(number).and_then(|()| exchange(&path, job));
    // Whatever happened: the device is given back.
    let _ = ioctl(&device, NBD_DISCONNECT, 0);
    let _ = worker.join();
    let _ = ioctl(&device, NBD_CLEAR_SOCK, 0);
    drop(pair.socket);
    let log = server.join().expect("the server does not panic")?;
    used?;
    Ok(SendReport {
        sends: vec![
            Sends::of(flow, log.kernel).by(By::Kernel),
            Sends::of(back, log.ours).by(By::AnyThread),
        ],
        ..SendReport::default()
    })
}

/// The first device that nobody uses, with this socket; or why there is none.
fn claim(socket: &OwnedFd) -> Result<Result<(File, String, u32), String>> {
    for number in 0..DEVICES {
        let path = format!("/dev/nbd{number}");
        let device = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(device) => device,
            Err(error) => return Ok(Err(format!("{path}: {error}"))),
        };
        match ioctl(&device, NBD_SET_SOCK, socket.as_raw_fd() as u64) {
            Ok(()) => return Ok(Ok((device, path, number))),
            Err(Errno::EBUSY) => {}
            // RHEL's nbd_check_sock_type() takes unix sockets only.
            Err(Errno::EINVAL) => return Ok(Err("NBD_SET_SOCK refuses a TCP socket".to_owned())),
            Err(errno) => bail!("NBD_SET_SOCK: {errno}"),
        }
    }
    Ok(Err(format!("all {DEVICES} devices are in use")))
}

fn until_it_runs(number: u32) -> Result<()> {
    let end = Instant::now() + DEADLINE;
    // Set last, after the threads that read the replies have started.
    let size = format!("/sys/block/nbd{number}/size");
    while std::fs::read_to_string(&size).context(size.clone())?.trim() == "0" {
        ensure!(Instant::now() < end, "the device has no size: {size}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Page by page, past the page cache, so that each is a request of its own.
fn exchange(path: &str, job: Job) -> Result<()> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .with_context(|| path.to_owned())?;
    let mut page = Page::new();
    for index in 0..job.count as u64 {
        let at = index * Page::SIZE as u64;
        device.write_all_at(page.bytes(), at).context("write")?;
        device.read_exact_at(page.bytes(), at).context("read")?;
    }
    Ok(())
}

/// The other end of the device, until the kernel takes its leave.
fn serve(mut stream: &TcpStream) -> Result<Log> {
    let mut log = Log::default();
    let sent = |bytes: usize| Call {
        requested: bytes as u64,
        result: bytes as i64,
    };
    loop {
        let mut request = [0; REQUEST_BYTES];
        match stream.read_exact(&mut request) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(log),
            Err(error) => return Err(error).context("a request"),
        }
        let word = |at: usize| {
            u32::from_be_bytes([
                request[at],
                request[at + 1],
                request[at + 2],
                request[at + 3],
            ])
        };
        ensure!(word(0) == REQUEST_MAGIC, "not a request: {request:?}");
        let (command, len) = (word(4) as u16, word(24) as usize);
        log.kernel.push(sent(REQUEST_BYTES));
        let mut reply = Vec::new();
        reply.extend(REPLY_MAGIC.to_be_bytes());
        reply.extend([0; 4]);
        reply.extend(&request[8..16]);
        match command {
            // The kernel waits until the other end closes.
            DISCONNECT => return Ok(log),
            READ => reply.extend(vec![0; len]),
            WRITE => {
                stream.read_exact(&mut vec![0; len]).context("pages")?;
                for start in (0..len).step_by(Page::SIZE) {
                    log.kernel.push(sent(Page::SIZE.min(len - start)));
                }
            }
            _ => {}
        }
        let result = stream.write(&reply).context("a reply")?;
        ensure!(result == reply.len(), "a reply was cut to {result} bytes");
        log.ours.push(sent(result));
    }
}
