//! The fork guard: it detects that a process is the child of a `fork`.
//!
//! The parent of a `fork` continues to issue from its timelines, so the child must not.

#[cfg(unix)]
use once_cell::race::OnceBool;

use crate::error::Error;
use crate::sync::Counter;

/// The number of forks between this process and the first one that used the library.
static GENERATION: Counter = Counter::new(0);

static GUARD: Guard = Guard::new(count);

extern "C" fn count() {
    GENERATION.add(1);
}

/// A token of the process that made a value. In the child of a `fork`, an inherited token is not
/// current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    generation: u64,
}

impl Process {
    /// The token of this process.
    ///
    /// # Errors
    ///
    /// [`Error::NoForkGuard`] if the system lacks the memory to install the guard.
    pub(crate) fn current() -> Result<Self, Error> {
        GUARD.install()?;
        Ok(Process { generation: GENERATION.get() })
    }

    /// Whether this process made the token. Returns `false` for an inherited one.
    pub(crate) fn is_current(self) -> bool {
        self.generation == GENERATION.get()
    }
}

/// A function that runs in the child of each `fork`, once it is installed.
///
/// The function runs before `fork` returns in the child. Only one thread is alive there, and any
/// lock may be held by a thread that no longer exists. So the function must use atomic operations
/// alone. It must also tolerate to run twice.
pub(crate) struct Guard {
    #[cfg(unix)]
    installed: OnceBool,
    #[cfg(unix)]
    child: extern "C" fn(),
}

#[cfg(unix)]
impl Guard {
    pub(crate) const fn new(child: extern "C" fn()) -> Self {
        Guard { installed: OnceBool::new(), child }
    }

    /// Installs the function at the first call. Later calls do nothing.
    pub(crate) fn install(&self) -> Result<(), Error> {
        let install = || {
            #[expect(unsafe_code, reason = "std has no safe form of this call")]
            // SAFETY: `child` lives as long as the program and does not unwind. The two other hooks
            // are absent.
            let code = unsafe { libc::pthread_atfork(None, None, Some(self.child)) };
            if code == 0 { Ok(true) } else { Err(Error::NoForkGuard { code }) }
        };
        // Two threads may both install the function. Then it runs twice in a child.
        self.installed.get_or_try_init(install).map(|_| ())
    }
}

/// Systems other than Unix have no `fork`, so nothing is installed.
#[cfg(not(unix))]
impl Guard {
    pub(crate) const fn new(_: extern "C" fn()) -> Self {
        Guard {}
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as on Unix")]
    pub(crate) fn install(&self) -> Result<(), Error> {
        Ok(())
    }
}
