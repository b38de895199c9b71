//! The bridge between stores, which wait, and connections, which do not.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::os::sync::Mutex;

/// One for all stores of the process: it drives connections and keeps time. A caller that reads waits in a thread of its own,
/// and copies what it reads there.
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// Begun with the first request, so that its thread is within the sandbox.
fn handle() -> io::Result<Handle> {
    let mut runtime = RUNTIME.lock();
    if let Some(runtime) = &*runtime {
        return Ok(runtime.handle().clone());
    }
    let begun = Builder::new_multi_thread().worker_threads(1).thread_name("network").enable_all().build()?;
    Ok(runtime.insert(begun).handle().clone())
}

/// Waits for what only the network can answer. Not to be called from within an asynchronous task.
///
/// # Errors
/// No thread can be started.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(handle()?.block_on(work))
}
