//! A day in less than a minute: the repository changes all the time, and a *no* is never false.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rokopia::blob::{BlobStore, FileSystem};
use rokopia::checker::{Answer, Candidates, Checker, Clock, Settings, State};
use rokopia::crypto::Password;
use rokopia::testkit::{Hooked, Rng};

use crate::common::say;
use crate::process::Server;
use crate::world::{PASSWORD, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The day takes so many seconds.
const SECONDS: u32 = 20;
const FACTOR: u32 = 24 * 3600 / SECONDS;

const PERMANENT: usize = 8;

/// An hour of the fast clock.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The repository, its writer and its maintenance.
struct Life {
    world: World,
    rng: Rng,
    epochs_done: u32,
    visitors: BTreeMap<usize, String>,
    away: Option<PathBuf>,
}

impl Life {
    fn new() -> Self {
        let mut world = World::empty();
        for number in 0..PERMANENT {
            world.add(&permanent(number));
        }
        Self { world, rng: Rng::new(7), epochs_done: 0, visitors: BTreeMap::new(), away: None }
    }

    /// One thing that happens to a repository.
    fn event(&mut self) {
        if self.away.is_some() {
            return self.mount();
        }
        let number = self.rng.below(40) as usize;
        match self.rng.below(24) {
            0..8 => self.visit(number),
            8..14 => {
                self.world.add(&permanent(number % PERMANENT));
            }
            14..19 => self.maintain(),
            19 => self.half_written(),
            20 => self.unmount(|_| {}),
            21 => self.unmount(|repo| std::fs::create_dir(repo).unwrap()),
            22 => self.unmount(|repo| {
                crate::common::damage::copy(&World::seeded(99).repo(), repo);
            }),
            _ => self.unmount(|repo| {
                std::fs::create_dir(repo).unwrap();
                std::fs::write(repo.join("kopia.repository.f"), b"{\"half\":").unwrap();
            }),
        }
    }

    /// A source that comes and goes.
    fn visit(&mut self, number: usize) {
        match self.visitors.remove(&number) {
            Some(id) => self.world.delete(&id),
            None => {
                let id = self.world.add(&format!("visitor-{number}-backup@media:/data"));
                self.visitors.insert(number, id);
            }
        }
    }

    /// Indexes are merged, and the merged ones removed.
    fn maintain(&mut self) {
        let writer = &mut self.world.writer;
        // As Kopia does, only an epoch with something in it is followed by another.
        if !writer.blobs().names(&format!("xn{}_", writer.epoch())).unwrap().is_empty() {
            writer.advance_epoch().unwrap();
        }
        while self.epochs_done + 2 <= writer.epoch() {
            writer.compact_epoch(self.epochs_done).unwrap();
            writer.remove_superseded(self.epochs_done, self.epochs_done).unwrap();
            self.epochs_done += 1;
        }
    }

    /// An index blob that is there before all of it is.
    fn half_written(&mut self) {
        let before = self.world.index_blobs();
        let number = self.rng.below(PERMANENT as u64) as usize;
        self.world.add(&permanent(number));
        let Some(blob) = self.world.index_blobs().into_iter().find(|blob| !before.contains(blob)) else {
            return;
        };
        let whole = std::fs::read(&blob).unwrap();
        std::fs::write(&blob, &whole[..whole.len() / 3]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&blob, &whole).unwrap();
    }

    fn unmount(&mut self, instead: impl FnOnce(&Path)) {
        let (repo, away) = (self.world.repo(), self.world.beside("away"));
        std::fs::rename(&repo, &away).unwrap();
        instead(&repo);
        self.away = Some(away);
    }

    fn mount(&mut self) {
        if let Some(away) = self.away.take() {
            let _ = std::fs::remove_dir_all(self.world.repo());
            std::fs::rename(away, self.world.repo()).unwrap();
        }
    }
}

fn permanent(number: usize) -> String {
    format!("permanent-{number}-backup@media:/data")
}

/// Starts a checker on a repository; `listed` is called after each listing with what was listed.
fn eventful<F>(settings: Settings, clock: Clock, repo: PathBuf, listed: F) -> Checker
where
    F: Fn(&str) + Clone + Send + Sync + 'static,
{
    let open = move || {
        let listed = listed.clone();
        let store = Hooked::new(FileSystem::open(&repo)?).listed(move |prefix, _| listed(prefix));
        Ok(Arc::new(store) as Arc<dyn BlobStore>)
    };
    let password = Arc::new(|| Ok(Password::new(PASSWORD)));
    Checker::start(settings, clock, rokopia::Options::default(), Arc::new(open), password).unwrap()
}

/// A checker on a repository in which maintenance runs between listing and reading.
fn checker(life: &Arc<Mutex<Life>>) -> Checker {
    let repo = life.lock().unwrap().world.repo();
    let life = Arc::clone(life);
    let lists = Arc::new(AtomicUsize::new(1));
    let settings = Settings { storage_timeout: DAY, ..Settings::default() };
    eventful(settings, Clock::faster(FACTOR), repo, move |_| {
        if lists.fetch_add(1, Ordering::Relaxed).is_multiple_of(16)
            && let Ok(mut life) = life.try_lock()
            && life.away.is_none()
        {
            life.maintain();
        }
    })
}

/// An index blob is lost at the very moment at which packs are looked for that no index names.
#[test]
fn an_index_lost_during_the_search_for_lost_ones_is_missed_by_nobody() {
    let mut world = World::empty();
    world.add(&permanent(1));
    let before = world.index_blobs();
    world.add(&permanent(0));
    let lost = world.index_blobs().into_iter().find(|blob| !before.contains(blob)).unwrap();
    let (gone, go_on) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (in_store, released) = (Arc::clone(&gone), Arc::clone(&go_on));
    let checker = eventful(Settings::default(), Clock::system(), world.repo(), move |prefix| {
        if prefix == "q" && !in_store.load(Ordering::SeqCst) {
            std::fs::remove_file(&lost).unwrap();
            in_store.store(true, Ordering::SeqCst);
            crate::process::until("told to go on", || released.load(Ordering::SeqCst));
        }
    });
    crate::process::until("the blob is lost", || gone.load(Ordering::SeqCst));
    let source = permanent(0).parse().unwrap();
    crate::process::until("the loss is seen", || {
        checker.ask(&Candidates::of("nobody@media:/data".parse().unwrap()), Duration::from_millis(100));
        checker.view().is_some_and(|view| view.find(&source).next().is_none())
    });
    go_on.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        let answer = ask(&checker, &permanent(0));
        assert_eq!(answer.state, State::Unknown, "{answer:?}");
        assert_eq!(answer.reason.unwrap().code(), "snapshot-unindexed");
    }
}

fn ask(checker: &Checker, source: &str) -> Answer {
    checker.ask(&Candidates::of(source.parse().unwrap()), PATIENCE)
}

#[test]
fn a_day_in_which_no_is_never_false() {
    let life = Arc::new(Mutex::new(Life::new()));
    let checker = checker(&life);
    let over = AtomicBool::new(false);
    let states = [const { AtomicUsize::new(0) }; 3];
    let begun = Instant::now();
    let day = Duration::from_secs(SECONDS.into());
    std::thread::scope(|scope| {
        for asker in 0..3 {
            let (checker, over, states) = (&checker, &over, &states);
            scope.spawn(move || {
                for question in 0_usize.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let answer = ask(checker, &permanent((question + asker) % PERMANENT));
                    states[answer.state as usize].fetch_add(1, Ordering::Relaxed);
                    assert_ne!(answer.state, State::Absent, "a false no: {answer:?}");
                    let answer = ask(checker, "nobody-backup@media:/data");
                    states[answer.state as usize].fetch_add(1, Ordering::Relaxed);
                    assert_ne!(answer.state, State::Exists, "a false yes: {answer:?}");
                }
            });
        }
        while begun.elapsed() < day && checker.view().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        while begun.elapsed() < day {
            life.lock().unwrap().event();
            std::thread::sleep(Duration::from_millis(60));
        }
        life.lock().unwrap().mount();
        over.store(true, Ordering::Relaxed);
    });
    let [exists, absent, unknown] = states.map(AtomicUsize::into_inner);
    let status = checker.status();
    say(&format!(
        "{exists} yes, {absent} no, {unknown} unknown; {} refreshes, {} failed",
        status.refreshes, status.failures
    ));
    assert!(exists > 20 && absent > 20 && unknown > 20, "too little happened");
    assert!(status.hung_threads == 0 && status.failures > 0);
    // Nothing is stuck: with the repository at rest, everything is answered.
    for (source, state) in
        [(permanent(0).as_str(), State::Exists), ("nobody-backup@media:/data", State::Absent)]
    {
        let mut last = None;
        for _ in 0..20 {
            let answer = ask(&checker, source);
            if answer.state == state {
                last = None;
                break;
            }
            last = Some(answer);
        }
        assert!(last.is_none(), "stuck: {last:?}");
    }
}

/// What memory the process held at least in each hour of its day: a key derivation may be under way at any moment.
fn hourly(server: &Server, mut event: impl FnMut()) -> Vec<u64> {
    let begun = Instant::now();
    let hour = Duration::from_secs(SECONDS.into()) / 24;
    let mut least = Vec::new();
    for number in 1..=24 {
        let (mut resident, mut events) = (u64::MAX, 0);
        // On a machine that is busy an hour takes longer.
        while begun.elapsed() < hour * number || events < 4 {
            event();
            std::thread::sleep(Duration::from_millis(50));
            resident = resident.min(server.memory("VmRSS"));
            events += 1;
        }
        least.push(resident);
    }
    least
}

#[test]
fn a_day_of_the_service_leaves_its_memory_as_it_was() {
    let mut life = Life::new();
    let factor = FACTOR.to_string();
    let settings = [("ROKOPIA_TESTKIT_CLOCK", factor.as_str()), ("ROKOPIA_STORAGE_TIMEOUT", "24h")];
    let server = Server::ready(&life.world.repo(), &settings);
    let mut asked = 0;
    let hours = hourly(&server, || {
        life.event();
        let (_, known) = server.ask(&format!("media/permanent-{}", asked % PERMANENT));
        assert_ne!(known, "fresh", "a false no");
        let (_, nobody) = server.ask("media/nobody");
        assert_ne!(nobody, "restore", "a false yes");
        asked += 1;
    });
    let refreshes = server.metric("rokopia_refreshes_total{result=\"success\"}").unwrap();
    say(&format!("{refreshes} refreshes in a day; KiB in each hour: {hours:?}"));
    assert!(refreshes > 50.0 && asked > 50, "{refreshes} refreshes, {asked} questions");
    let least = |hours: &[u64]| hours.iter().copied().min().unwrap();
    let (early, late) = (least(&hours[1..5]), least(&hours[20..]));
    assert!(late < early + 4 * 1024, "from {early} to {late} KiB: {hours:?}");
}
