//! `/init` of a virtual machine; anywhere else `guest MANIFEST` runs the steps of the manifest, frames on
//! stdout.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::sys::reboot::{RebootMode, reboot};
use trace_instance::{TRACEPOINTS, TraceInstance};
use vm_guest::boot;
use vm_guest::protocol::{Frame, MANIFEST, Manifest, RESULTS};
use vm_guest::steps::{self, Reporter};

fn main() -> ExitCode {
    let result = if std::process::id() == 1 {
        let result = machine();
        if let Err(error) = &result {
            eprintln!("init: {error:#}");
        }
        // Init must not end: that is a panic. Without power management the machine halts, and the host,
        // which has seen the last frame, ends it.
        let _ = reboot(RebootMode::RB_POWER_OFF);
        result
    } else {
        native()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn machine() -> Result<()> {
    let mut trouble = boot::mount_all();
    let mut reporter = Reporter::new(boot::open_results(RESULTS)?);
    reporter.send(&Frame::Started {
        release: boot::kernel_release(),
    })?;
    let manifest = read(MANIFEST)?;
    trouble.extend(boot::load_modules(&manifest.modules));
    trouble.extend(
        boot::loopback_up(&manifest.environment)
            .err()
            .map(|error| format!("{error:#}")),
    );
    for text in trouble {
        reporter.send(&Frame::Trouble { text })?;
    }
    steps::run(&manifest, &mut reporter).context("the results cannot be written")?;
    nix::sys::termios::tcdrain(std::io::stdout().as_fd()).ok();
    Ok(())
}

fn native() -> Result<()> {
    let path = std::env::args().nth(1).context("usage: guest MANIFEST")?;
    // Orphans of the steps become ours, as they do under init.
    nix::sys::prctl::set_child_subreaper(true).context("cannot become the reaper of orphans")?;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    let trace_instance = TraceInstance::of_process_1(&TRACEPOINTS);
    let mut reporter = Reporter::new(File::from(stdout)).with_trace_instance(trace_instance);
    reporter.send(&Frame::Started {
        release: boot::kernel_release(),
    })?;
    steps::run(&read(&path)?, &mut reporter).context("the results cannot be written")
}

fn read(path: &str) -> Result<Manifest> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    serde_json::from_str(&text).with_context(|| format!("{path} is no manifest"))
}
