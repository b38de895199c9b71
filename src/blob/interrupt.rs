//! Not waiting for storage that does not answer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::{BlobId, BlobMetadata, BlobStore, Error, Hints, Remarks};

use crate::os::sync::Mutex;
use crate::os::zeros;

/// How often a caller that waits looks at the flag.
const POLL: Duration = Duration::from_millis(50);

/// Buffers kept for further reads, and the largest that is: as many and as large as a restore's reads in flight.
const MAX_BUFFERS: usize = 16;
const MAX_BUFFER: usize = 2 << 20;

type Task = Box<dyn FnOnce() + Send>;

/// Lets callers go when a flag is raised, even if the store below hangs or is between two of its attempts. They get an
/// error then; what they asked for may still be under way, in a thread that nobody waits for.
///
/// A read from a hung network file system ends only with the process. Whoever has to clean up
/// before that end must not wait for it.
pub struct Interruptible<S> {
    inner: Arc<S>,
    raised: Arc<AtomicBool>,
    tasks: Sender<Task>,
    queue: Receiver<Task>,
    idle: Arc<AtomicUsize>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl<S: BlobStore + 'static> Interruptible<S> {
    /// Wraps a store; `raised` lets everybody go.
    pub fn new(inner: S, raised: Arc<AtomicBool>) -> Self {
        let (tasks, queue) = unbounded();
        Self { inner: Arc::new(inner), raised, tasks, queue, idle: Arc::default(), buffers: Mutex::default() }
    }

    /// Does `work` in another thread; `None` when the flag was raised first.
    fn call<T: Send + 'static>(&self, work: impl FnOnce(&S) -> T + Send + 'static) -> Option<T> {
        if self.raised.load(Ordering::Relaxed) {
            return None;
        }
        let (done, result) = bounded(1);
        let inner = Arc::clone(&self.inner);
        self.submit(Box::new(move || {
            // The caller may have gone.
            let _ = done.send(work(&inner));
        }));
        loop {
            match result.recv_timeout(POLL) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Timeout) if !self.raised.load(Ordering::Relaxed) => {}
                Err(_) => return None,
            }
        }
    }

    /// Hands a task to a thread that waits for one, or to a new one: there are never more tasks than such threads.
    fn submit(&self, task: Task) {
        let is_awaited =
            self.idle.fetch_update(Ordering::AcqRel, Ordering::Acquire, |idle| idle.checked_sub(1)).is_ok();
        if !is_awaited {
            let (queue, idle) = (self.queue.clone(), Arc::clone(&self.idle));
            let work = move || {
                for task in queue {
                    task();
                    idle.fetch_add(1, Ordering::AcqRel);
                }
            };
            if std::thread::Builder::new().name("storage".into()).spawn(work).is_err() {
                return task();
            }
        }
        // The queue has this receiver at least.
        let _ = self.tasks.send(task);
    }

    fn buffer(&self, length: usize) -> Vec<u8> {
        let kept = self.buffers.lock().pop();
        let mut buffer = kept.unwrap_or_default();
        zeros::resize(&mut buffer, length);
        buffer
    }

    fn keep(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock();
        if buffers.len() < MAX_BUFFERS && buffer.capacity() <= MAX_BUFFER {
            buffers.push(buffer);
        }
    }
}

fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "nobody waits for the answer any more")
}

fn unanswered(id: &BlobId) -> Error {
    Error::Read { blob: id.clone(), source: interrupted() }
}

impl<S: BlobStore + 'static> BlobStore for Interruptible<S> {
    fn list(&self, prefix: &str) -> Result<Vec<BlobMetadata>, Error> {
        let wanted = prefix.to_owned();
        self.call(move |inner| inner.list(&wanted)).unwrap_or_else(|| {
            Err(Error::List { path: PathBuf::from(self.describe()).join(prefix), source: interrupted() })
        })
    }

    fn size(&self, id: &BlobId) -> Result<u64, Error> {
        let wanted = id.clone();
        self.call(move |inner| inner.size(&wanted)).unwrap_or_else(|| Err(unanswered(id)))
    }

    fn read(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        let wanted = id.clone();
        self.call(move |inner| inner.read(&wanted, limit)).unwrap_or_else(|| Err(unanswered(id)))
    }

    fn read_at(&self, id: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let (wanted, mut bytes) = (id.clone(), self.buffer(buffer.len()));
        let read = move |inner: &S| {
            let result = inner.read_at(&wanted, offset, &mut bytes);
            (result, bytes)
        };
        let (result, bytes) = self.call(read).ok_or_else(|| unanswered(id))?;
        if result.is_ok() {
            buffer.copy_from_slice(&bytes);
        }
        self.keep(bytes);
        result
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn remarks(&self) -> Remarks {
        self.inner.remarks()
    }

    fn protection(&self) -> Option<super::Protection> {
        self.inner.protection()
    }

    fn guard(&self) -> super::Guard {
        self.inner.guard()
    }

    fn disk_order(&self, id: &BlobId) -> Option<u64> {
        let wanted = id.clone();
        self.call(move |inner| inner.disk_order(&wanted)).flatten()
    }

    fn forget(&self, id: &BlobId) {
        let wanted = id.clone();
        self.call(move |inner| inner.forget(&wanted));
    }

    fn hints(&self) -> Hints {
        self.inner.hints()
    }

    fn is_empty(&self) -> Result<bool, Error> {
        self.call(S::is_empty).unwrap_or_else(|| {
            Err(Error::List { path: PathBuf::from(self.describe()), source: interrupted() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with the offset, but never where that is odd.
    struct Hanging(Receiver<()>);

    impl BlobStore for Hanging {
        fn list(&self, _: &str) -> Result<Vec<BlobMetadata>, Error> {
            let _ = self.0.recv();
            Ok(Vec::new())
        }
        fn size(&self, _: &BlobId) -> Result<u64, Error> {
            panic!("a fault of the store")
        }
        fn read(&self, id: &BlobId, _: u64) -> Result<Vec<u8>, Error> {
            Err(Error::NotFound { blob: id.clone() })
        }
        fn read_at(&self, _: &BlobId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
            if offset % 2 == 1 {
                let _ = self.0.recv();
            }
            buffer.fill(offset as u8);
            Ok(())
        }
        fn describe(&self) -> String {
            "hanging".into()
        }
    }

    #[test]
    fn callers_are_let_go() {
        let (_never, waits) = unbounded();
        let raised = Arc::new(AtomicBool::new(false));
        let store = Interruptible::new(Hanging(waits), Arc::clone(&raised));
        let id = BlobId::new("p1").unwrap();
        let mut buffer = [0; 3];
        for offset in [2, 4, 6] {
            store.read_at(&id, offset, &mut buffer).unwrap();
            assert_eq!(buffer, [offset as u8; 3]);
        }
        assert!(store.read(&id, 1).unwrap_err().is_not_found());
        assert!(store.size(&id).is_err());
        std::thread::scope(|scope| {
            let hangs: Vec<_> =
                (0..9).map(|_| scope.spawn(|| store.read_at(&id, 1, &mut [0]).is_err())).collect();
            let lists = scope.spawn(|| store.list("p").is_err());
            store.read_at(&id, 8, &mut buffer).unwrap();
            raised.store(true, Ordering::Relaxed);
            assert!(hangs.into_iter().chain([lists]).all(|thread| thread.join().unwrap()));
        });
        assert!(store.read_at(&id, 2, &mut buffer).is_err());
    }
}
