//! A cell that the interpreter's lock protects: a read costs nothing.

use std::cell::UnsafeCell;

use pyo3::Python;

/// A value that only a thread attached to the interpreter reads or changes.
///
/// The module declares `gil_used`, and a wheel for the stable ABI does not load without the lock, so one thread at a
/// time is attached. The closures are short: they call no Python code and do not detach.
#[derive(Debug)]
pub(crate) struct GilCell<T>(UnsafeCell<T>);

#[expect(unsafe_code, reason = "the lock is the interpreter's, which the compiler does not know")]
// SAFETY: `with` and `replace` need a `Python` token, and one thread at a time has one; see the type's documentation.
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        GilCell(UnsafeCell::new(value))
    }

    /// Calls `f` with the value. `f` must neither call Python code nor detach.
    #[inline]
    pub(crate) fn with<R>(&self, _: Python<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: the caller is attached until `f` returns, and `f` calls nothing that uses this cell.
        f(unsafe { &mut *self.0.get() })
    }
}

impl<T> GilCell<T> {
    /// The value, for its owner.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}
