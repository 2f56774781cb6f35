//! A driver that hangs: its queue is full and stays so until the watchdog of the kernel resets it.
//!
//! Needs a network card to spare. In a virtual machine that is an emulated vmxnet3 without an address: its
//! interrupts are masked in its PCI configuration, so it never learns that anything was sent.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scenarios::{Outcome, Peer, SOON, Tracer, assert_owner, check_line, number, requires, text};

const IFF_UP: u32 = 1;

#[test]
#[ignore = "needs root"]
fn root_a_driver_that_hangs_is_told_as_the_kernel_counts_it() {
    if !requires(&["tc"]) {
        return;
    }
    let Some(card) = Card::to_spare() else {
        let why = "no network card to spare (an unused vmxnet3): no driver can be made to hang";
        check_line("drop", "transmit timeout", Outcome::Unsupported, why);
        check_line("drop", "NETDEV_TX_BUSY", Outcome::Unsupported, why);
        return;
    };
    let tracer = Tracer::start(&["--event", "device"]);
    let mut sender = card.up();
    card.mask_interrupts();
    // More than its ring of 512 holds, of several sockets: each may have so much in flight only.
    for name in ["u", "v", "w", "x"] {
        sender.ok(&format!("open {name} udp4"));
        sender.ok(&format!("flood {name} 300 100 10.99.7.2:9"));
    }
    let timeout = tracer.wait_for("a transmit timeout", 2 * SOON, |event| {
        event["device"]["name"] == "TRANSMIT_TIMEOUT"
    });
    assert_eq!(text(&timeout, "device.interface"), card.name, "{timeout}");
    assert_eq!(number(&timeout, "device.queue"), 0, "{timeout}");
    assert_eq!(text(&timeout, "owner.grade"), "unknown", "{timeout}");
    card.down();
    let run = tracer.stop();
    let of = |name: &str| run.events("device", |event| event["device"]["name"] == name);

    let (ours, kernel) = (of("TRANSMIT_TIMEOUT").len() as u64, card.timeouts());
    assert_eq!(ours, kernel, "tx_timeout of the queue");
    check_line(
        "drop",
        "transmit timeout",
        Outcome::Pass,
        &format!("{ours} of {kernel}"),
    );

    let busy = of("NETDEV_TX_BUSY");
    assert!(!busy.is_empty(), "the driver says when its ring is full");
    for event in &busy {
        // The ring may be full within the first send of a socket, which is then looked up.
        assert_owner(event, &sender.id, &["at_send", "seeded"]);
        assert_eq!(event["device"]["requeued"], true, "{event}");
        assert_eq!(text(event, "device.interface"), card.name, "{event}");
        assert_eq!(number(event, "device.bytes"), 100 + 8 + 20 + 14, "{event}");
    }
    let detail = format!("{}, with their sender", busy.len());
    check_line("drop", "NETDEV_TX_BUSY", Outcome::Pass, &detail);
    run.assert_complete();
}

/// The card, and where the kernel shows it.
struct Card {
    name: String,
    pci: PathBuf,
}

impl Card {
    /// A card of that driver which nobody uses: it is not up.
    fn to_spare() -> Option<Self> {
        let driver = fs::read_dir("/sys/bus/pci/drivers/vmxnet3").ok()?;
        driver.flatten().find_map(|entry| {
            let pci = entry.path();
            let net = fs::read_dir(pci.join("net")).ok()?.flatten().next()?;
            let flags = fs::read_to_string(net.path().join("flags")).ok()?;
            let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok()?;
            (flags & IFF_UP == 0).then(|| Self {
                name: net.file_name().to_string_lossy().into_owned(),
                pci,
            })
        })
    }

    /// Takes it into use, without a way for anything but this test; the process that will send.
    fn up(&self) -> Peer {
        let name = &self.name;
        for arguments in [
            // Nothing but what this test sends.
            format!("link set {name} addrgenmode none"),
            format!("addr add 10.99.7.1/24 dev {name}"),
            format!("link set {name} up"),
            format!("neigh add 10.99.7.2 lladdr 02:00:00:00:00:02 dev {name}"),
        ] {
            ip(&arguments);
        }
        let carrier = format!("/sys/class/net/{name}/carrier");
        let end = Instant::now() + SOON;
        while fs::read_to_string(&carrier).is_ok_and(|text| text.trim() != "1") {
            assert!(Instant::now() < end, "{name} has no carrier");
            std::thread::sleep(Duration::from_millis(5));
        }
        Peer::start(Path::new("/proc/self/ns/net"), "hung-sender")
    }

    /// Sets the function mask of MSI-X. Its capability is in the list that byte 0x34 starts.
    fn mask_interrupts(&self) {
        const MSI_X: u8 = 0x11;
        const FUNCTION_MASK: u8 = 0x40;
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .open(self.pci.join("config"))
            .expect("the PCI configuration");
        let mut config = Vec::new();
        file.read_to_end(&mut config).expect("it can be read");
        let mut at = usize::from(config[0x34]);
        while config[at] != MSI_X {
            at = usize::from(config[at + 1]);
            assert_ne!(at, 0, "no MSI-X");
        }
        // The high byte of the control word.
        let place = at + 3;
        file.seek(SeekFrom::Start(place as u64)).expect("a place");
        file.write_all(&[config[place] | FUNCTION_MASK])
            .expect("it can be written");
    }

    /// How often the kernel's watchdog found the queue hung.
    fn timeouts(&self) -> u64 {
        let path = format!("/sys/class/net/{}/queues/tx-0/tx_timeout", self.name);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        text.trim().parse().expect("a number")
    }

    fn down(&self) {
        ip(&format!("link set {} down", self.name));
        ip(&format!("addr flush dev {}", self.name));
    }
}

fn ip(arguments: &str) {
    let status = std::process::Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("ip");
    assert!(status.success(), "ip {arguments}");
}
