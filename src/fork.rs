//! The fork guard: the child of a `fork` gets its parent's timelines closed, as the parent goes on issuing from them.

use crate::sync::Counter;

/// How many forks lie between this process and the first one that used the library.
static GENERATION: Counter = Counter::new(0);

/// Tells this process from its parent: a number that the child of a fork finds changed.
pub(crate) fn generation() -> u64 {
    GENERATION.get()
}

/// Makes sure that the guard is in place; the registry calls this before it hands out a timeline.
#[cfg(unix)]
pub(crate) fn guard() {
    use once_cell::race::OnceBool;

    static INSTALLED: OnceBool = OnceBool::new();

    /// Runs in the child, before anything else there does, with one thread alive and any lock possibly held by a
    /// thread that is gone: `close_all` keeps to atomic loads and stores.
    extern "C" fn child() {
        GENERATION.add(1);
        crate::registry::close_all();
    }

    INSTALLED.get_or_init(|| {
        // Two threads may both get here; closing twice is closing. The result is ENOMEM or 0: out of memory here is
        // as final as in any allocation.
        #[expect(unsafe_code, reason = "the one call that std has no safe form of")]
        // SAFETY: `child` is a function that lives as long as the program and does not unwind; the others are absent.
        let result = unsafe { libc::pthread_atfork(None, None, Some(child)) };
        result == 0
    });
}

/// Other systems have no `fork`.
#[cfg(not(unix))]
pub(crate) fn guard() {}
