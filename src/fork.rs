//! The fork guard: the child of a `fork` must not issue from its parent's timelines, as the parent
//! goes on issuing from them.

#[cfg(unix)]
use once_cell::race::OnceBool;

use crate::error::Error;
use crate::sync::Counter;

/// How many forks lie between this process and the first one that used the library.
static GENERATION: Counter = Counter::new(0);

static GUARD: Guard = Guard::new(count);

extern "C" fn count() {
    GENERATION.add(1);
}

/// The process that made a value. In the child of a `fork`, an inherited token is not current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    generation: u64,
}

impl Process {
    /// The token of this process.
    ///
    /// # Errors
    ///
    /// [`Error::NoForkGuard`] if the system cannot tell forks apart, for lack of memory.
    pub(crate) fn current() -> Result<Self, Error> {
        GUARD.install()?;
        Ok(Process { generation: GENERATION.get() })
    }

    /// Whether this process made the token, and did not inherit it.
    pub(crate) fn is_current(self) -> bool {
        self.generation == GENERATION.get()
    }
}

/// Runs a function in the child of each `fork`, once it is installed.
///
/// The function runs before `fork` returns in the child, where one thread is alive and a thread that
/// is gone may hold any lock. So it uses atomic operations alone, and it may run twice.
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

    /// Installs the function, at the first call.
    pub(crate) fn install(&self) -> Result<(), Error> {
        let install = || {
            #[expect(unsafe_code, reason = "std has no safe form of this call")]
            // SAFETY: `child` lives as long as the program and does not unwind. The others are absent.
            let code = unsafe { libc::pthread_atfork(None, None, Some(self.child)) };
            if code == 0 { Ok(true) } else { Err(Error::NoForkGuard { code }) }
        };
        // Two threads may both install it. Then it runs twice.
        self.installed.get_or_try_init(install).map(|_| ())
    }
}

/// Other systems have no `fork`.
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
