//! The seccomp filter: classic BPF that hands two system calls to the supervisor, one way or the other, and allows
//! the rest.

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, sock_filter,
};

/// `seccomp_data.nr`
const NUMBER: u32 = 0;

/// The program; `hand_over` is the answer that asks the supervisor. Calls of other architectures (32 bit) have other numbers and pass: what is tested is native.
pub fn program(hand_over: u32) -> Vec<sock_filter> {
    let asked = [libc::SYS_bpf, libc::SYS_perf_event_open];
    let mut program = vec![statement(BPF_LD | BPF_W | BPF_ABS, NUMBER)];
    for (index, number) in asked.into_iter().enumerate() {
        // To the last statement, past the other comparisons and "allow".
        let over = (asked.len() - index) as u8;
        program.push(sock_filter {
            code: (BPF_JMP | BPF_JEQ | BPF_K) as u16,
            jt: over,
            jf: 0,
            k: number as u32,
        });
    }
    program.push(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    program.push(statement(BPF_RET | BPF_K, hand_over));
    program
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::SECCOMP_RET_USER_NOTIF;

    /// What the program answers to a system call.
    fn answer(number: i64) -> u32 {
        let program = program(SECCOMP_RET_USER_NOTIF);
        let mut at = 1;
        loop {
            let step = program[at];
            if u32::from(step.code) == BPF_RET | BPF_K {
                return step.k;
            }
            let jump = if step.k == number as u32 {
                step.jt
            } else {
                step.jf
            };
            at += 1 + usize::from(jump);
        }
    }

    #[test]
    fn only_the_two_calls_are_asked_about() {
        assert_eq!(answer(libc::SYS_bpf), SECCOMP_RET_USER_NOTIF);
        assert_eq!(answer(libc::SYS_perf_event_open), SECCOMP_RET_USER_NOTIF);
        assert_eq!(answer(libc::SYS_read), SECCOMP_RET_ALLOW);
        assert_eq!(answer(libc::SYS_exit_group), SECCOMP_RET_ALLOW);
    }
}
