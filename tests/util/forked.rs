//! Forks, and what becomes of the child.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]
#![expect(unsafe_code, reason = "std has no fork, no waitpid and no _exit")]

use core::time::Duration;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

/// A child that has not ended after this hangs.
const HANGS: Duration = Duration::from_secs(20);

/// A child that was not waited for yet.
pub(crate) struct Child(libc::pid_t);

/// Forks. The child does `work` and exits with its answer, or 101 if it panics; it never returns from here.
pub(crate) fn fork(work: impl FnOnce() -> i32) -> Child {
    // SAFETY: the child runs `work` alone, which allocates (the C library's allocator is made for that) and issues IDs.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        0 => {
            let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or(101);
            // SAFETY: it ends the process without running anything of the parent's.
            unsafe { libc::_exit(code) }
        }
        child => Child(child),
    }
}

impl Child {
    /// The exit code; kills a child that hangs.
    pub(crate) fn wait(self) -> Result<i32, String> {
        self.wait_for(HANGS)
    }

    /// The exit code; kills a child that takes longer.
    pub(crate) fn wait_for(self, longest: Duration) -> Result<i32, String> {
        let start = Instant::now();
        loop {
            let mut status = 0;
            // SAFETY: `status` is a live i32.
            match unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) } {
                0 if start.elapsed() < longest => thread::sleep(Duration::from_millis(1)),
                0 => {
                    // SAFETY: the child is ours and not waited for yet, so the number is still its own.
                    unsafe {
                        libc::kill(self.0, libc::SIGKILL);
                        libc::waitpid(self.0, &raw mut status, 0);
                    }
                    return Err("the child hangs".to_owned());
                }
                pid if pid == self.0 && libc::WIFEXITED(status) => return Ok(libc::WEXITSTATUS(status)),
                pid => return Err(format!("waitpid: {pid}, status {status}: {}", io::Error::last_os_error())),
            }
        }
    }
}
