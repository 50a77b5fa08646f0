//! The fork guard: the child of a `fork` gets its parent's timelines closed, as the parent goes on issuing from them.

use crate::error::Error;
use crate::sync::Counter;

/// How many forks lie between this process and the first one that used the library.
static GENERATION: Counter = Counter::new(0);

/// Tells this process from its parent: a number that the child of a fork finds changed.
pub(crate) fn generation() -> u64 {
    GENERATION.get()
}

/// Makes sure that the guard is in place; whoever makes something that a child must not use calls this before.
#[cfg(unix)]
pub(crate) fn guard() -> Result<(), Error> {
    use once_cell::race::OnceBool;

    static INSTALLED: OnceBool = OnceBool::new();

    /// Runs in the child before `fork` returns there, with one thread alive and any lock possibly held by a thread
    /// that is gone: what is called keeps to atomic operations.
    extern "C" fn child() {
        GENERATION.add(1);
        crate::registry::close_all();
        #[cfg(feature = "std")]
        crate::clock::forked();
    }

    let install = || {
        #[expect(unsafe_code, reason = "the one call that std has no safe form of")]
        // SAFETY: `child` is a function that lives as long as the program and does not unwind; the others are absent.
        let code = unsafe { libc::pthread_atfork(None, None, Some(child)) };
        if code == 0 { Ok(true) } else { Err(Error::NoForkGuard { code }) }
    };
    // Two threads may both install it; closing twice is closing.
    INSTALLED.get_or_try_init(install).map(|_| ())
}

/// Other systems have no `fork`.
#[cfg(not(unix))]
pub(crate) fn guard() -> Result<(), Error> {
    Ok(())
}
