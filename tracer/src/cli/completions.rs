//! The arguments of `sendtrace completions`, and what they write: made from the same types as `--help`.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

const HELP: &str = "\
Examples:
  sendtrace completions bash > /etc/bash_completion.d/sendtrace
  sendtrace completions zsh > /usr/share/zsh/site-functions/_sendtrace
  sendtrace completions fish > ~/.config/fish/completions/sendtrace.fish
  sendtrace completions --man /usr/share/man/man8
      Manual pages, one per command, in a folder.";

/// `sendtrace completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct Completions {
    /// The shell that is to complete the words of sendtrace
    #[arg(value_name = "SHELL", value_enum, required_unless_present = "man")]
    pub shell: Option<Shell>,
    /// Write manual pages (section 8) into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "shell")]
    pub man: Option<PathBuf>,
}

impl Completions {
    /// The script of completions for the shell that was asked for.
    pub fn script(&self) -> Option<Vec<u8>> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell?,
            &mut super::Cli::command(),
            "sendtrace",
            &mut script,
        );
        Some(script)
    }
}

/// Writes one page per command into a folder that exists: `sendtrace.8`, `sendtrace-live.8` and so on.
///
/// # Errors
/// Those of the file system.
pub fn write_manual(folder: &Path) -> io::Result<()> {
    let mut command = super::Cli::command().disable_help_subcommand(true);
    command.build();
    write_pages(&command, folder)
}

fn write_pages(command: &clap::Command, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or("sendtrace");
    let page = clap_mangen::Man::new(command.clone())
        .title(name)
        .section("8");
    let mut text = Vec::new();
    page.render(&mut text)?;
    // The library has no better name for what stands below the options: units, examples, exit status.
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA", ".SH NOTES");
    std::fs::write(folder.join(format!("{name}.8")), text)?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| write_pages(command, folder))
}
