//! Who called on which socket: the packet of a socket's very first send may be dropped before anybody is stored as
//! its owner, and the error of the same call names who that is microseconds later.

use std::collections::HashMap;

use tracer_common::{Head, Owner as Stored, grade, head_flag};

/// No more sockets than this are remembered.
const MOST: usize = 4096;

/// The last caller on each socket.
#[derive(Debug, Default)]
pub struct Callers(HashMap<Socket, Stored>);

/// A socket by its cookie, or before it has one by the inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Socket {
    Cookie(u64),
    Inode(u64),
}

impl Callers {
    /// Gives the owners that some events of a batch have to those of the same sockets that have none.
    pub fn join<'a>(&mut self, heads: impl Iterator<Item = &'a mut Head>) {
        let mut nobody = Vec::new();
        for head in heads {
            if head.flags & head_flag::CURRENT != 0 && head.owner.grade == grade::AT_SEND {
                self.remember(head);
            } else if head.owner.grade == grade::NONE && head.flags & head_flag::NO_SOCKET == 0 {
                nobody.push(head);
            }
        }
        for head in nobody {
            let caller = sockets(head).find_map(|socket| self.0.get(&socket));
            if let Some(caller) = caller {
                head.owner = *caller;
                head.flags |= head_flag::JOINED;
            }
        }
    }

    fn remember(&mut self, head: &Head) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        for socket in sockets(head) {
            self.0.insert(socket, head.owner);
        }
    }
}

fn sockets(head: &Head) -> impl Iterator<Item = Socket> + use<> {
    let (cookie, inode) = (head.flow.cookie, head.flow.inode);
    let cookie = (cookie != 0).then_some(Socket::Cookie(cookie));
    let inode = (inode != 0).then_some(Socket::Inode(inode));
    cookie.into_iter().chain(inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(cookie: u64, inode: u64) -> Head {
        let mut head = Head::default();
        (head.flow.cookie, head.flow.inode) = (cookie, inode);
        head
    }

    fn call(cookie: u64, inode: u64, pid: u32) -> Head {
        let mut head = event(cookie, inode);
        head.flags = head_flag::CURRENT;
        (head.owner.grade, head.owner.pid) = (grade::AT_SEND, pid);
        head
    }

    #[test]
    fn the_owner_of_a_first_packet_is_who_made_the_call_that_failed() {
        // The socket gets its cookie between the two, and has its file all the time.
        let mut batch = [event(0, 4), call(9, 4, 42), event(8, 5)];
        let mut callers = Callers::default();
        callers.join(batch.iter_mut());
        assert_eq!((batch[0].owner.pid, batch[2].owner.pid), (42, 0));
        assert!(!batch[0].owner_is_sure(), "a filter has not judged it yet");
        let mut later = [event(9, 0)];
        callers.join(later.iter_mut());
        assert_eq!(later[0].owner.pid, 42);
    }

    #[test]
    fn an_owner_that_is_stored_stays() {
        let mut stored = event(9, 0);
        (stored.owner.grade, stored.owner.pid) = (grade::AT_CONNECT, 7);
        let mut batch = [call(9, 0, 42), stored];
        Callers::default().join(batch.iter_mut());
        assert_eq!(batch[1].owner.pid, 7);
    }

    #[test]
    fn no_more_sockets_are_remembered_than_there_is_room_for() {
        let mut callers = Callers::default();
        for cookie in 1..3 * MOST as u64 {
            callers.join(std::iter::once(&mut call(cookie, cookie, 42)));
        }
        assert!(callers.0.len() <= MOST + 1);
    }
}
