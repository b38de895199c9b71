//! A client that knows nothing of the server: the crate `nfs3_client`, on a socket that blocks.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use nfs3_client::io::{AsyncRead, AsyncWrite};
use nfs3_client::nfs3_types::mount::dirpath;
use nfs3_client::nfs3_types::nfs3::{
    ACCESS3args, GETATTR3args, LOOKUP3args, Nfs3Option, Nfs3Result, READ3args, READDIR3args,
    READDIRPLUS3args, READLINK3args, REMOVE3args, RENAME3args, WRITE3args, cookieverf3, diropargs3, fattr3,
    ftype3, nfs_fh3, stable_how,
};
use nfs3_client::nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_client::nfs3_types::xdr_codec::Opaque;
use nfs3_client::{MountClient, Nfs3Client};

/// An entry as a client sees it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) time: (u32, u32),
    pub(crate) data: Vec<u8>,
}

struct Socket(TcpStream);

impl AsyncRead for Socket {
    async fn async_read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

impl AsyncWrite for Socket {
    async fn async_write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }
}

/// Waits for what never has to be waited for, since the socket blocks.
fn now<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the socket does not block"),
    }
}

pub(crate) struct Client {
    nfs: Nfs3Client<Socket>,
    root: nfs_fh3,
}

fn ok<T, E>(result: Nfs3Result<T, E>) -> Result<T, String> {
    match result {
        Nfs3Result::Ok(value) => Ok(value),
        Nfs3Result::Err((status, _)) => Err(format!("{status:?}")),
    }
}

impl Client {
    pub(crate) fn mount(address: SocketAddr, path: &str, uid: u32) -> Result<Self, String> {
        let auth = || opaque_auth::auth_unix(&auth_unix { uid, gid: uid, ..auth_unix::default() });
        let connect = || Socket(TcpStream::connect(address).unwrap());
        let mut mount = MountClient::new_with_auth(connect(), auth(), opaque_auth::default());
        let mounted =
            now(mount.mnt(dirpath(Opaque::borrowed(path.as_bytes())))).map_err(|e| e.to_string())?;
        let root = nfs_fh3 { data: Opaque::owned(mounted.fhandle.0.to_vec()) };
        Ok(Self { nfs: Nfs3Client::new_with_auth(connect(), auth(), opaque_auth::default()), root })
    }

    pub(crate) fn root(&self) -> nfs_fh3 {
        self.root.clone()
    }

    pub(crate) fn walk(&mut self, from: &nfs_fh3, names: &[&str]) -> nfs_fh3 {
        let mut at = from.clone();
        for name in names {
            let what = diropargs3 { dir: at, name: name.as_bytes().into() };
            at = ok(now(self.nfs.lookup(&LOOKUP3args { what })).unwrap()).unwrap().object;
        }
        at
    }

    pub(crate) fn attributes(&mut self, handle: &nfs_fh3) -> Result<String, String> {
        let arguments = GETATTR3args { object: handle.clone() };
        Ok(format!("{:?}", ok(now(self.nfs.getattr(&arguments)).unwrap())?.obj_attributes))
    }

    pub(crate) fn access(&mut self, handle: &nfs_fh3) -> u32 {
        let arguments = ACCESS3args { object: handle.clone(), access: 0x3f };
        ok(now(self.nfs.access(&arguments)).unwrap()).unwrap().access
    }

    pub(crate) fn read(&mut self, handle: &nfs_fh3) -> Result<Vec<u8>, String> {
        let mut data = Vec::new();
        loop {
            let arguments = READ3args { file: handle.clone(), offset: data.len() as u64, count: 100_000 };
            let got = ok(now(self.nfs.read(&arguments)).unwrap())?;
            data.extend_from_slice(&got.data);
            if got.eof {
                return Ok(data);
            }
        }
    }

    pub(crate) fn link(&mut self, handle: &nfs_fh3) -> Result<Vec<u8>, String> {
        let arguments = READLINK3args { symlink: handle.clone() };
        Ok(ok(now(self.nfs.readlink(&arguments)).unwrap())?.data.0.to_vec())
    }

    /// The names of READDIR, a few at a time.
    pub(crate) fn names(&mut self, directory: &nfs_fh3) -> Vec<String> {
        let (mut names, mut cookie, mut cookieverf) = (Vec::new(), 0, cookieverf3::default());
        loop {
            let arguments = READDIR3args { dir: directory.clone(), cookie, cookieverf, count: 4096 };
            let got = ok(now(self.nfs.readdir(&arguments)).unwrap()).unwrap();
            let entries = got.reply.entries.into_inner();
            cookie = entries.last().map_or(cookie, |entry| entry.cookie);
            cookieverf = got.cookieverf;
            names.extend(entries.iter().map(|entry| String::from_utf8(entry.name.0.to_vec()).unwrap()));
            if got.reply.eof {
                return names;
            }
        }
    }

    /// Everything below the root, by READDIRPLUS, READLINK and READ.
    pub(crate) fn everything(&mut self) -> Vec<Seen> {
        let mut found = Vec::new();
        let mut rest = vec![(String::new(), self.root())];
        while let Some((above, directory)) = rest.pop() {
            let (mut cookie, mut cookieverf) = (0, cookieverf3::default());
            loop {
                let dir = directory.clone();
                let arguments = READDIRPLUS3args { dir, cookie, cookieverf, dircount: 1024, maxcount: 8192 };
                let got = ok(now(self.nfs.readdirplus(&arguments)).unwrap()).unwrap();
                cookieverf = got.cookieverf;
                for entry in got.reply.entries.into_inner() {
                    cookie = entry.cookie;
                    let name = String::from_utf8(entry.name.0.to_vec()).unwrap();
                    if name == "." || name == ".." {
                        continue;
                    }
                    let path = if above.is_empty() { name } else { format!("{above}/{name}") };
                    let Nfs3Option::Some(handle) = entry.name_handle else { panic!("{path} has no handle") };
                    let Nfs3Option::Some(stat) = entry.name_attributes else {
                        panic!("{path} has no attributes")
                    };
                    assert_eq!(self.attributes(&handle).unwrap(), format!("{stat:?}"), "{path}");
                    found.push(self.seen(path.clone(), &handle, &stat));
                    if stat.type_ == ftype3::NF3DIR {
                        rest.push((path, handle));
                    }
                }
                if got.reply.eof {
                    break;
                }
            }
        }
        found.sort();
        found
    }

    fn seen(&mut self, path: String, handle: &nfs_fh3, stat: &fattr3) -> Seen {
        let (kind, data) = match stat.type_ {
            ftype3::NF3DIR => ('d', Vec::new()),
            ftype3::NF3LNK => ('l', self.link(handle).unwrap()),
            _ => ('f', self.read(handle).unwrap_or_default()),
        };
        if kind == 'f' && !data.is_empty() {
            assert_eq!(stat.size, data.len() as u64, "{path}");
        }
        Seen {
            path,
            kind,
            mode: if kind == 'l' { 0 } else { stat.mode },
            owner: (stat.uid, stat.gid),
            time: (stat.mtime.seconds, stat.mtime.nseconds),
            data,
        }
    }

    /// What the server says to some attempts to write.
    pub(crate) fn write_attempts(&mut self, root: &nfs_fh3, file: &nfs_fh3) -> Vec<String> {
        let at = |name: &'static str| diropargs3 { dir: root.clone(), name: name.as_bytes().into() };
        let data = Opaque::borrowed(b"x");
        let stable = stable_how::FILE_SYNC;
        let write = WRITE3args { file: file.clone(), offset: 0, count: 1, stable, data };
        let results = [
            ok(now(self.nfs.write(&write)).unwrap()).map(drop),
            ok(now(self.nfs.remove(&REMOVE3args { object: at("empty.log") })).unwrap()).map(drop),
            ok(now(self.nfs.rename(&RENAME3args { from: at("empty.log"), to: at("other") })).unwrap())
                .map(drop),
        ];
        results.into_iter().map(|result| result.unwrap_err()).collect()
    }
}
