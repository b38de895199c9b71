//! Snapshots over NFS version 3, served in user space: read-only, without any privilege, on one port.
//!
//! Each client has a thread that reads its calls and some that answer them, so that a slow one holds nobody else up. What a
//! client may hold in memory is bounded: the length of a call, the calls under way, and the clients.

mod calls;
mod mount;
mod rpc;
mod xdr;

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use calls::Files;
use rpc::{Call, Refusal};
use xdr::{Reader, Writer};

use crate::front::network::Network;
use crate::os::sync::Mutex;
use crate::vfs::{Attributes, HandleKey, Vfs};

/// The longest read.
const LONGEST_READ: u32 = 256 << 10;

/// Clients at a time.
const CLIENTS: usize = 32;

/// Calls of a client that are answered at the same time.
const WORKERS: usize = 4;

/// A client that takes nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Bytes that replies may take with all clients there are.
pub(crate) const REPLIES: u64 = (CLIENTS * WORKERS) as u64 * (LONGEST_READ as u64 + 4096);

/// What is served, and how.
pub(crate) struct Export {
    pub(crate) vfs: Arc<Vfs>,
    pub(crate) key: HandleKey,
    /// Who everything belongs to, instead of the owners in the snapshots.
    pub(crate) owner: Option<(u32, u32)>,
    /// The number of the file system: the same after a restart.
    pub(crate) id: u64,
    files: Files,
}

impl Export {
    /// `memory` is for the tables of open files.
    pub(crate) fn new(
        vfs: Arc<Vfs>,
        key: HandleKey,
        owner: Option<(u32, u32)>,
        id: u64,
        memory: u64,
    ) -> Self {
        Self { vfs, key, owner, id, files: Files::new(memory) }
    }

    fn owned(&self, found: Attributes) -> Attributes {
        let (uid, gid) = self.owner.unwrap_or((found.uid, found.gid));
        Attributes { uid, gid, ..found }
    }

    /// The reply to a message. `None` where it is not even a call.
    fn reply(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader(message);
        let call = Call::parse(&mut reader)?;
        let mut result = Writer::default();
        let outcome = match (call.program, call.version) {
            (calls::PROGRAM, calls::VERSION) => {
                calls::answer(self, call.procedure, &call.caller, &mut reader, &mut result)
            }
            (mount::PROGRAM, mount::VERSION) => mount::answer(self, call.procedure, &mut reader, &mut result),
            (calls::PROGRAM | mount::PROGRAM, _) => Err(Refusal::Version(calls::VERSION)),
            _ => Err(Refusal::UnknownProgram),
        };
        Some(rpc::reply(call.number, outcome.map(|()| result)))
    }
}

/// A server that is bound to its address.
pub(crate) struct Server {
    listener: TcpListener,
    allowed: Vec<Network>,
}

impl Server {
    /// Listens. Clients of this machine are always let in, others where they are allowed.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn bind(address: SocketAddr, allowed: Vec<Network>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, allowed })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn lets_in(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_loopback() || self.allowed.iter().any(|network| network.contains(client))
    }

    /// Serves until it is stopped, and calls `tick` often.
    pub(crate) fn serve(&self, export: &Arc<Export>, stop: &AtomicBool, mut tick: impl FnMut()) {
        let clients = Arc::new(AtomicUsize::new(0));
        while !stop.load(Ordering::SeqCst) {
            tick();
            let (stream, client) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::warn!("a client could not be let in: {error}");
                    }
                    thread::sleep(TICK);
                    continue;
                }
            };
            if !self.lets_in(client.ip()) {
                tracing::warn!("{client} is not allowed: --allow names who is");
                continue;
            }
            if clients.load(Ordering::SeqCst) >= CLIENTS {
                tracing::warn!("{client} is not let in: there are {CLIENTS} clients already");
                continue;
            }
            tracing::debug!("{client} connects");
            let guard = Counted::new(&clients);
            let export = Arc::clone(export);
            let work = move || {
                let _guard = guard;
                match Client::new(stream).and_then(|client| client.serve(&export)) {
                    Ok(()) => tracing::debug!("{client} is gone"),
                    Err(error) => tracing::debug!("{client}: {error}"),
                }
            };
            if let Err(error) = thread::Builder::new().name("client".into()).spawn(work) {
                tracing::warn!("no thread for a client: {error}");
            }
        }
    }
}

/// One of the clients, counted.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection.
struct Client {
    calls: TcpStream,
    replies: Mutex<TcpStream>,
}

impl Client {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { replies: Mutex::new(stream.try_clone()?), calls: stream })
    }

    /// Answers calls until the connection ends. Replies may overtake each other.
    fn serve(&self, export: &Export) -> io::Result<()> {
        let (sender, receiver) = bounded::<Vec<u8>>(WORKERS);
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                let receiver = receiver.clone();
                thread::Builder::new().name("answers".into()).spawn_scoped(scope, move || {
                    self.answer(export, &receiver);
                })?;
            }
            drop(receiver);
            while let Some(message) = rpc::read_message(&mut &self.calls)? {
                if sender.send(message).is_err() {
                    break;
                }
            }
            drop(sender);
            Ok(())
        })
    }

    fn answer(&self, export: &Export, messages: &Receiver<Vec<u8>>) {
        for message in messages {
            let sent = match export.reply(&message) {
                Some(reply) => {
                    let mut stream = self.replies.lock();
                    rpc::send(&mut *stream, &reply)
                }
                None => Err(io::Error::new(io::ErrorKind::InvalidData, "not a call")),
            };
            if sent.is_err() {
                // Who reads calls then meets the end of the connection, and all workers end.
                let _ = self.calls.shutdown(Shutdown::Both);
            }
        }
    }
}
