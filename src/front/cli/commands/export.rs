//! `rokopia export`: snapshots for other machines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::front::cli::context::{Context, wrong_value};
use crate::front::cli::failure::{Exit, Failure};
use crate::front::cli::follow::Shown;
use crate::front::cli::open_repository::OpenRepository;
use crate::front::network::Network;
use crate::front::nfs::{self, Export, Server};
use crate::os::signals::CleanUp;
use crate::vfs::HandleKey;

/// The port of NFS.
const PORT: u16 = 2049;

/// Share of the memory that tables of open files may take.
const TABLES: u64 = 8;

/// Serve snapshots as a read-only NFS file system until Ctrl-C is pressed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs no privilege, no kernel module and no portmapper. Without REF, each snapshot is a directory USER@HOST/PATH/TIME, \
`latest` beside the times is the newest one, and new snapshots appear by themselves. With REF, the file system shows that \
tree. After a restart of the server, clients need not mount again.

NFS trusts clients to say which user is asking, so every client that is let in can read everything. Without --allow, only \
this machine is let in. A client mounts it with:
  mount -t nfs -o ro,vers=3,proto=tcp,nolock,port=2049,mountport=2049,\\
  mountproto=tcp HOST:/ /mnt/backups

Examples:
  rokopia export --nfs
  rokopia export --nfs --allow 10.0.0.0/8 data-demo@apps:/data
  rokopia export --nfs --listen 127.0.0.1:12049 --owner 1000:1000 latest")]
pub(in crate::front::cli) struct Args {
    /// Serve NFS version 3
    #[arg(long, required = true)]
    nfs: bool,

    #[command(flatten)]
    shown: Shown,

    /// Where to listen [default: 127.0.0.1:2049; with --allow, 0.0.0.0:2049]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// Let in the clients of this network, such as 10.0.0.0/8, or with this address. May be given several times
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<String>,
}

impl Args {
    pub(in crate::front::cli) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (owner, _) = self.shown.owner_and_refresh()?;
        let allowed = self.networks()?;
        let address = self.address(&allowed)?;
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Unknown, "export-failed", format!("listening on {address}: {error}"))
        };
        let server = Server::bind(address, allowed).map_err(failed)?;
        let bound = server.address().map_err(failed)?;
        let context = context.listening();
        let mut repo = OpenRepository::open_for_contents(&context)?;
        let contents = repo.contents()?;
        let memory = context.memory_for_data(&contents)?;
        let memory = memory - nfs::REPLIES.min(memory / 2);
        let (tables, memory) = (memory / TABLES, memory - memory / TABLES);
        let secret = contents.format().derivation_secret().expose().to_vec();
        let mut tree = self.shown.tree(&context, repo, contents, memory, "export-failed")?;
        let root = tree.object.map(|object| object.to_string()).unwrap_or_default();
        let key = HandleKey::new(&secret, &root);
        let export = Arc::new(Export::new(Arc::clone(&tree.vfs), key.clone(), owner, key.number(), tables));
        let cleanup = CleanUp::new();
        tracing::info!("serving NFS on {bound}; Ctrl-C ends it");
        server.serve(&export, &cleanup.flag(), || tree.tick());
        Ok(Exit::Done)
    }

    fn networks(&self) -> Result<Vec<Network>, Failure> {
        let network = |text: &String| {
            text.parse()
                .map_err(|()| wrong_value("--allow", text, "a network such as 10.0.0.0/8, or an address"))
        };
        self.allow.iter().map(network).collect()
    }

    /// Where to listen. Beyond this machine only for clients that are named.
    fn address(&self, allowed: &[Network]) -> Result<SocketAddr, Failure> {
        let Some(text) = &self.listen else {
            let ip = if allowed.is_empty() { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
            return Ok(SocketAddr::new(IpAddr::V4(ip), PORT));
        };
        let address: SocketAddr = text
            .parse()
            .map_err(|_| wrong_value("--listen", text, "an address and a port such as 127.0.0.1:2049"))?;
        if allowed.is_empty() && !address.ip().is_loopback() {
            return Err(Failure::wrong_usage(format!(
                "--listen {text} is open to other machines, and --allow names none of them"
            ))
            .with_help("give --allow NETWORK for each that may read all backups; 0.0.0.0/0 is everybody"));
        }
        Ok(address)
    }
}
