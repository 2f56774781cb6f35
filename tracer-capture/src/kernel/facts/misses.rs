//! Runs of a program that the kernel skipped.

use std::fs;
use std::os::fd::RawFd;

/// How often the kernel did not run a program because it was already running on that CPU (`recursion_misses` in
/// the descriptor's `fdinfo`, since 5.12); `None` when it does not say.
pub fn recursion_misses(program: RawFd) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/self/fdinfo/{program}")).ok()?)
}

fn parse(fdinfo: &str) -> Option<u64> {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_skipped_runs_is_read_from_fdinfo() {
        assert_eq!(
            parse("pos:\t0\nprog_type:\t26\nrecursion_misses:\t17\nverified_insns:\t9\n"),
            Some(17)
        );
    }

    #[test]
    fn a_kernel_that_does_not_say_gives_none() {
        assert_eq!(parse("pos:\t0\nprog_type:\t26\n"), None);
        assert_eq!(parse("recursion_misses:\tmany\n"), None);
    }
}
