//! Grades of owners: how the process is known.

use super::entry::{Entry, Kind};

const fn grade(word: &'static str, means: &'static str) -> Entry {
    Entry::new(Kind::Attribution, word, means)
}

pub static TABLE: &[Entry] = &[
    grade("at_send", "The process made this send, or sent last and is the only one that holds the socket. Certain.")
        .from("Written with the socket in process context (sock_send_length)."),
    grade("at_connect", "The process called connect and holds the socket alone; it has not sent yet. Mark: c.")
        .from("The step to SYN_SENT (inet_sock_set_state), in process context."),
    grade("at_accept", "The process accepted the connection and holds it alone; it has not sent yet. Mark: a.")
        .from("inet_csk_accept(), on hosts that allow fexit."),
    grade("at_listen", "The process called listen and holds the socket alone. Mark: l.")
        .from("The step to LISTEN (inet_sock_set_state), in process context."),
    grade("seeded", "The only process that has the socket among its open files, at start or when it was looked up. Mark: s.")
        .from("The iterator over open files (iter/task_file)."),
    grade(
        "last_known",
        "Nobody has the socket open any more, or it could not be looked up: the process that held it last. Mark: ~.",
    )
    .from("What was stored with the socket; `why` says more.")
    .next("Usual for what TCP still sends after a close or an exit."),
    grade("shared", "Several processes hold the socket (after a fork, or passed on): all are in holders. Mark: +N.")
        .from("The open files of all processes.")
        .next("The holders: the one that is shown is no more certain than the others."),
    grade("kernel", "The kernel's own socket: NFS, NBD, a tunnel. Mark: [kernel].")
        .from("sk_kern_sock, or a socket without a file.")
        .next("Which mount or block device leads to the remote address of the flow."),
    grade("unknown", "Nobody is known; `why` says why. Wrong would be worse. Mark: ?.")
        .from("No socket, a socket that nobody has open, or a look-up that came too late.")
        .next("The flow: ss -tnp with its addresses, while it lives."),
];
