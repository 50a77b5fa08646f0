//! A process that gets no thread, or no file, for ten seconds, and a keeper that must recover within a renewal period.

use std::fs::File;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pyflake::Error;
use pyflake::lease::{LeaseState, LeasedGenerator};

/// What a worker finds in its environment: what it lacks, and where its store is.
const LACK: &str = "PYFLAKE_TEST_LACK";
const PLACE: &str = "PYFLAKE_TEST_PLACE";

/// The window of a worker's lease.
pub(crate) const WINDOW: Duration = Duration::from_secs(3);

const SCARCE: Duration = Duration::from_secs(10);

/// What a worker lacks, and what its keeper makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// It can start no thread, and needs none.
    NeedlessThreads,
    /// It can start no thread, and needs some.
    Threads,
    /// It can open no file and no socket, and needs none.
    NeedlessFiles,
    /// It can open no file and no socket, and needs some.
    Files,
}

impl Lack {
    const ALL: [Lack; 4] = [Lack::NeedlessThreads, Lack::Threads, Lack::NeedlessFiles, Lack::Files];

    fn is_of_files(self) -> bool {
        matches!(self, Lack::Files | Lack::NeedlessFiles)
    }

    fn is_needed(self) -> bool {
        matches!(self, Lack::Files | Lack::Threads)
    }

    /// Sets the limit of this process, and returns the one before.
    fn limit(self, to: u64) -> u64 {
        let resource = if self.is_of_files() { libc::RLIMIT_NOFILE } else { libc::RLIMIT_NPROC };
        let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the limits are a place to write to, and then what is read.
        unsafe {
            assert_eq!(libc::getrlimit(resource, &raw mut limits), 0);
            let before = limits.rlim_cur;
            limits.rlim_cur = to;
            assert_eq!(libc::setrlimit(resource, &raw const limits), 0);
            before
        }
    }

    fn is_real(self) -> bool {
        if self.is_of_files() { File::open("/dev/null").is_err() } else { thread::Builder::new().spawn(|| {}).is_err() }
    }
}

/// Starts this program again as a worker, by the name of the test that calls [`serve`]. It panics if the worker fails.
pub(crate) fn run(worker: &str, lack: Lack, place: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", worker, "--nocapture"])
        .env(LACK, format!("{lack:?}"))
        .env(PLACE, place)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("served"), "{lack:?}: {told}");
    print!("{told}");
}

/// The worker: issues from a generator of the store at a place, with a window of [`WINDOW`]. It returns at once in a process
/// that is no worker.
pub(crate) fn serve(build: impl Fn(&str) -> LeasedGenerator) {
    let (Ok(lack), Ok(place)) = (std::env::var(LACK), std::env::var(PLACE)) else { return };
    let lack = Lack::ALL.into_iter().find(|known| format!("{known:?}") == lack).unwrap();
    // A number of threads limits all but root.
    // SAFETY: it changes who this process is, and no memory.
    if unsafe { libc::geteuid() } == 0 && !lack.is_of_files() {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setuid(54_321) }, 0);
    }
    let generator = build(&place);
    generator.next_id().unwrap();
    let before = lack.limit(0);
    assert!(lack.is_real(), "there is no limit");
    let (start, mut ids, mut ended) = (Instant::now(), 0_u64, 0_u64);
    while start.elapsed() < SCARCE {
        match generator.next_id() {
            Ok(_) => ids += 1,
            Err(Error::PastLease { .. }) => ended += 1,
            Err(error) => panic!("{error}"),
        }
        // Sleeps are no threads.
        thread::sleep(Duration::from_millis(1));
    }
    lack.limit(before);
    let start = Instant::now();
    while !matches!(generator.state(), LeaseState::Held { .. }) || generator.next_id().is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "never renewed: {:?}", generator.last_error());
        thread::sleep(Duration::from_millis(5));
    }
    let took = start.elapsed();
    println!("served for {SCARCE:?} with a lack of {lack:?}: {ids} IDs, {ended} refused, recovered after {took:?}");
    if lack.is_needed() {
        let told = generator.last_error().unwrap().to_string();
        assert!(ended > 0 && (told.contains("no thread") || told.contains("open files")), "{ended}: {told}");
    } else {
        assert_eq!(ended, 0);
        assert!(generator.last_error().is_none(), "{:?}", generator.last_error());
    }
    // A period at most after a failure, and what a busy machine takes.
    assert!(took < WINDOW / 3 + Duration::from_secs(1), "{took:?}");
}
