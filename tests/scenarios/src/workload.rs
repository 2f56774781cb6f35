//! Two processes with a TCP connection between them: where most scenarios begin.

use crate::peer::Peer;
use crate::world::World;

/// A client on host `a` with the socket `c`, a server on host `b` with the listener `l` and the accepted
/// socket `s`.
pub struct Connection {
    pub client: Peer,
    pub server: Peer,
    /// The client's end, as `10.99.1.1:43210`.
    pub local: String,
    /// The server's end.
    pub remote: String,
}

impl Connection {
    /// Connects over IPv4. The names tell the processes apart in events.
    pub fn new(world: &World, client: &str, server: &str) -> Self {
        Self::of(world, client, server, "tcp4", &format!("{}:0", world.b.v4))
    }

    /// Connects over IPv6.
    pub fn new6(world: &World, client: &str, server: &str) -> Self {
        Self::of(
            world,
            client,
            server,
            "tcp6",
            &format!("[{}]:0", world.b.v6),
        )
    }

    /// Connects to this address of host `b`, which names the port.
    pub fn at(world: &World, client: &str, server: &str, to: &str) -> Self {
        let kind = if to.starts_with('[') { "tcp6" } else { "tcp4" };
        Self::of(world, client, server, kind, to)
    }

    fn of(world: &World, client: &str, server: &str, kind: &str, any_port: &str) -> Self {
        let (mut client, mut server) = (world.a.peer(client), world.b.peer(server));
        server.ok(&format!("open l {kind}"));
        server.ok(&format!("bind l {any_port}"));
        server.ok("listen l");
        let remote = server.ok("address l");
        client.ok(&format!("open c {kind}"));
        client.ok(&format!("connect c {remote}"));
        server.ok("accept l s");
        let local = client.ok("address c");
        Self {
            client,
            server,
            local,
            remote,
        }
    }

    /// Sends a few bytes from the client and reads them at the server, so that the round trip is measured.
    pub fn warm_up(&mut self) {
        for _ in 0..3 {
            self.client.ok("send c 100");
            self.server.ok("recv s");
            self.server.ok("send s 100");
            self.client.ok("recv c");
        }
    }
}
