//! A process that gets no thread, or no file, for a while.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pyflake::Error;
use pyflake::lease::{LeaseState, LeasedGenerator};

use crate::fleet::{eventually, own_epoch, unique};
use crate::server::{open, shared};

const WHAT: &str = "PYFLAKE_TEST_SCARCE";
const URL: &str = "PYFLAKE_TEST_SCARCE_URL";

const WINDOW: Duration = Duration::from_secs(3);
const SCARCE: Duration = Duration::from_secs(10);

/// Runs the worker, which panics if it is not served.
pub(crate) fn run(what: &str, url: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fleet::scarce::worker", "--nocapture"])
        .env(WHAT, what)
        .env(URL, url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("served"), "{what}: {told}");
    print!("{told}");
}

/// Sets a limit of this process to 0 for a while, or puts it back.
fn limit(what: &str, to: Option<u64>) -> u64 {
    let resource = if what == "files" { libc::RLIMIT_NOFILE } else { libc::RLIMIT_NPROC };
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limits are a place to write to, and then what is read.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &raw mut limits), 0);
        let before = limits.rlim_cur;
        limits.rlim_cur = to.unwrap_or(0);
        assert_eq!(libc::setrlimit(resource, &raw const limits), 0);
        before
    }
}

/// Not a test by itself: the others start this program again as a worker.
#[test]
fn worker() {
    let (Ok(what), Ok(url)) = (std::env::var(WHAT), std::env::var(URL)) else { return };
    let store = open(&url, &unique("scarce"), own_epoch());
    let generator = LeasedGenerator::builder(store).window(WINDOW).build().unwrap();
    generator.next_id().unwrap();
    // A number of threads limits all but root.
    // SAFETY: it changes who this process is, and no memory.
    if unsafe { libc::geteuid() } == 0 && what != "files" {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setuid(54_321) }, 0);
    }
    let before = limit(&what, None);
    let served = if what == "files" {
        std::fs::File::open("/dev/null").is_err()
    } else {
        thread::Builder::new().spawn(|| {}).is_err()
    };
    assert!(served, "there is no limit");
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
    limit(&what, Some(before));
    let took = eventually("it is renewed", || {
        matches!(generator.state(), LeaseState::Held { .. }) && generator.next_id().is_ok()
    });
    println!("served with no {what} for {SCARCE:?}: {ids} IDs, {ended} refused, recovered after {took:?}");
    if what == "threads" {
        assert_eq!(ended, 0, "an IP address needs no thread");
        assert!(generator.last_error().is_none(), "{:?}", generator.last_error());
    } else {
        let told = generator.last_error().unwrap().to_string();
        assert!(ended > 0 && (told.contains("no thread") || told.contains("open files")), "{ended}: {told}");
    }
    // A tenth of the window after a failure, and what a busy machine takes.
    assert!(took < WINDOW / 3 + Duration::from_secs(1), "{took:?}");
}

#[test]
fn an_address_needs_no_thread() {
    let Some(url) = shared() else { return };
    run("threads", &url);
}
