//! What issues the IDs of a Python object, in this process.
//!
//! An object that issues under a lease keeps how it got its node. In the child of a fork the crate refuses to issue
//! from what the child has inherited. The child's first call then opens the store anew and takes a node of its own.
//! It waits for no lock that its parent may have held: the inherited state is set aside as it is, and never dropped.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use pyflake::lease::{LeaseError, LeasedGenerator};
use pyflake::{Error, Snowflake};

use crate::errors::{self, Kind};
use crate::fork;
use crate::gil::GilCell;
use crate::plan::Plan;

/// How long a failure to take a node stands before a caller's next attempt.
const REST: Duration = Duration::from_millis(100);

/// How long a release waits for threads that are in the middle of an ID.
const PATIENCE: Duration = Duration::from_secs(2);

/// What issues: a generator or a client of the crate, with a lease or without.
pub(crate) trait Issuer: Send + Sync + Sized + 'static {
    /// What `leased` needs beside the lease.
    type Options: Clone + Send + Sync + 'static;

    fn with_lease(generator: LeasedGenerator, options: &Self::Options) -> Self;
    /// Issues an ID without waiting.
    fn try_id(&self) -> Result<Snowflake, Error>;
    /// Issues an ID, and waits where it must.
    fn id(&self) -> Result<Snowflake, Error>;
    fn lease(&self) -> Option<&LeasedGenerator>;
    fn can_issue(&self) -> bool;
    fn release(self) -> Result<(), LeaseError>;
}

/// An issuer that a fork does not harm.
pub(crate) struct Handle<T: Issuer> {
    /// How to take a node; `None` without a lease.
    plan: Option<(Plan, T::Options)>,
    state: GilCell<State<T>>,
}

struct State<T> {
    /// The process that `held`, `taking` and `released` are of (see `fork::count`).
    forks: u64,
    held: Option<Arc<T>>,
    /// Set while a thread takes a node.
    taking: Option<Arc<Taking>>,
    released: bool,
}

/// The others wait here for the thread that takes a node. It belongs to one process.
#[derive(Default)]
struct Taking {
    done: Mutex<Option<Done>>,
    changed: Condvar,
}

/// The end of an attempt to take a node.
struct Done {
    at: Instant,
    error: Option<Arc<LeaseError>>,
}

/// How far an attempt to take a node is.
enum Status {
    Running,
    /// It failed less than [`REST`] ago.
    Failed(Arc<LeaseError>),
    Over,
}

/// What a caller does where it found no issuer of its own process.
enum Turn {
    Take(Arc<Taking>),
    Wait(Arc<Taking>),
    Fail(PyErr),
}

impl<T: Issuer> Handle<T> {
    /// A handle without a lease.
    pub(crate) fn plain(issuer: T) -> Self {
        let state = State { forks: fork::count(), held: Some(Arc::new(issuer)), taking: None, released: false };
        Handle { plan: None, state: GilCell::new(state) }
    }

    /// Takes a node, and makes a handle that issues on it.
    pub(crate) fn leased(py: Python<'_>, plan: Plan, options: T::Options) -> PyResult<Arc<Self>> {
        let state = State { forks: fork::count(), held: None, taking: None, released: false };
        let handle = Arc::new(Handle { plan: Some((plan, options)), state: GilCell::new(state) });
        handle.own(py)?;
        crate::exit::register(py, Arc::downgrade(&handle) as _)?;
        Ok(handle)
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.plan.is_some()
    }

    /// Issues an ID. It waits detached, so that other threads run meanwhile.
    #[inline]
    pub(crate) fn next(&self, py: Python<'_>) -> PyResult<Snowflake> {
        match self.try_next(py) {
            Some(Ok(id)) => Ok(id),
            _ => self.next_slowly(py),
        }
    }

    /// The rest of [`next`](Self::next) after an error.
    #[cold]
    #[inline(never)]
    fn next_slowly(&self, py: Python<'_>) -> PyResult<Snowflake> {
        let issuer = self.own(py)?;
        self.call(py, issuer, Issuer::id)
    }

    /// Issues an ID without waiting and without a look at the process; `None` where no issuer is held.
    #[inline]
    pub(crate) fn try_next(&self, py: Python<'_>) -> Option<Result<Snowflake, Error>> {
        self.state.with(py, |state| state.held.as_ref().map(|issuer| issuer.try_id()))
    }

    /// Calls `f` with an issuer, and explains its error. It may wait, so it is called detached.
    pub(crate) fn call<R: Send>(
        &self,
        py: Python<'_>,
        issuer: Arc<T>,
        f: impl FnOnce(&T) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        py.detach(move || f(&issuer)).map_err(|error| self.explain(py, &error))
    }

    /// The exception for an error of the issuer.
    pub(crate) fn explain(&self, py: Python<'_>, error: &Error) -> PyErr {
        match error {
            Error::LeaseLost if self.state.with(py, |state| state.released) => released(),
            error => errors::of(error),
        }
    }

    /// The issuer, if this process has one already.
    pub(crate) fn present(&self, py: Python<'_>) -> Option<Arc<T>> {
        let forks = fork::count();
        self.state.with(py, |state| if self.plan.is_some() && state.forks != forks { None } else { state.held.clone() })
    }

    /// The issuer of this process, on a node that is taken now if there is none yet.
    pub(crate) fn own(&self, py: Python<'_>) -> PyResult<Arc<T>> {
        loop {
            if let Some(issuer) = self.present(py) {
                return Ok(issuer);
            }
            let Some((plan, options)) = &self.plan else { return Err(released()) };
            match self.turn(py) {
                Turn::Take(taking) => return self.take(py, plan, options, &taking),
                Turn::Wait(taking) => py.detach(|| taking.wait()),
                Turn::Fail(error) => return Err(error),
            }
        }
    }

    /// Sets aside what the parent has, and decides who takes a node.
    fn turn(&self, py: Python<'_>) -> Turn {
        let forks = fork::count();
        self.state.with(py, |state| {
            if state.forks != forks {
                let inherited = mem::replace(state, State { forks, held: None, taking: None, released: false });
                // A release in the parent is one in the child: it ended the object.
                state.released = inherited.released;
                // The parent's threads, locks and connections: dropping them could wait, or write to its sockets.
                mem::forget(inherited);
            }
            if state.released {
                return Turn::Fail(released());
            }
            match state.taking.as_ref().map(|taking| (taking, taking.status())) {
                Some((taking, Status::Running)) => Turn::Wait(Arc::clone(taking)),
                Some((_, Status::Failed(error))) => Turn::Fail(errors::of_lease(&error)),
                Some((_, Status::Over)) | None => {
                    let taking = Arc::new(Taking::default());
                    state.taking = Some(Arc::clone(&taking));
                    Turn::Take(taking)
                }
            }
        })
    }

    /// Takes a node, detached.
    fn take(&self, py: Python<'_>, plan: &Plan, options: &T::Options, taking: &Arc<Taking>) -> PyResult<Arc<T>> {
        // Also when it unwinds: the others must not wait for a thread that is gone.
        let guard = Unwound(taking);
        let taken = py.detach(|| plan.take());
        mem::forget(guard);
        match taken {
            Ok(generator) => {
                let issuer = Arc::new(T::with_lease(generator, options));
                let kept = self.state.with(py, |state| {
                    if state.released {
                        return false;
                    }
                    state.held = Some(Arc::clone(&issuer));
                    state.taking = None;
                    true
                });
                taking.end(None);
                if kept {
                    py.import("pyflake._exit")?.getattr("taken")?.call0()?;
                    return Ok(issuer);
                }
                // Released while the node was being taken.
                py.detach(|| drop(issuer));
                Err(released())
            }
            Err(error) => {
                let error = Arc::new(error);
                taking.end(Some(Arc::clone(&error)));
                Err(errors::of_lease(&error))
            }
        }
    }

    /// Ends the object: takes the issuer out, if it is this process's.
    fn end(&self, py: Python<'_>) -> Option<Arc<T>> {
        let forks = fork::count();
        self.state.with(py, |state| {
            let issuer = state.held.take();
            state.released = true;
            if state.forks == forks {
                issuer
            } else {
                mem::forget(issuer);
                None
            }
        })
    }

    /// Gives the node back.
    pub(crate) fn release(&self, py: Python<'_>) -> PyResult<()> {
        if self.plan.is_none() {
            return Ok(());
        }
        let Some(issuer) = self.end(py) else { return Ok(()) };
        py.detach(|| give_back(issuer)).map_err(|error| errors::of_lease(&error))
    }

    /// The state of the lease, in a word; `None` without a lease.
    pub(crate) fn state(&self, py: Python<'_>) -> Option<&'static str> {
        use pyflake::lease::LeaseState;

        self.plan.as_ref()?;
        Some(match self.present(py) {
            Some(issuer) => match issuer.lease().map(LeasedGenerator::state) {
                Some(LeaseState::Held { .. }) => "held",
                Some(LeaseState::Degraded { .. }) => "degraded",
                Some(LeaseState::Expired { .. }) => "expired",
                _ => "lost",
            },
            None if self.state.with(py, |state| state.released) => "released",
            None => "pending",
        })
    }

    /// Whether IDs can be issued. The child of a fork can before its first ID, which takes its node.
    pub(crate) fn can_issue(&self, py: Python<'_>) -> bool {
        match self.present(py) {
            Some(issuer) => issuer.can_issue(),
            None => self.plan.is_some() && !self.state.with(py, |state| state.released),
        }
    }

    /// Why the last call to the store failed.
    pub(crate) fn last_error(&self, py: Python<'_>) -> Option<String> {
        let issuer = self.present(py)?;
        py.detach(|| issuer.lease().and_then(LeasedGenerator::last_error).map(|error| error.to_string()))
    }
}

/// Gives a node back as soon as no thread is in the middle of an ID.
fn give_back<T: Issuer>(mut issuer: Arc<T>) -> Result<(), LeaseError> {
    let start = Instant::now();
    loop {
        issuer = match Arc::try_unwrap(issuer) {
            Ok(issuer) => return issuer.release(),
            Err(issuer) => issuer,
        };
        if start.elapsed() > PATIENCE {
            return Err(LeaseError::Unavailable {
                doing: "releasing the lease".into(),
                source: "other threads are still issuing on it; the node is free once they are done".into(),
            });
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The exception of an object whose node was given back.
fn released() -> PyErr {
    Kind::Lease.error("the node was given back by release(): call leased() again for another one")
}

/// What the end of the interpreter does with a handle.
pub(crate) trait Release: Send + Sync {
    /// Ends the object and returns what gives its node back; `None` if this process holds none.
    fn end_at_exit(&self, py: Python<'_>) -> Option<Box<dyn FnOnce() + Send>>;
}

impl<T: Issuer> Release for Handle<T> {
    fn end_at_exit(&self, py: Python<'_>) -> Option<Box<dyn FnOnce() + Send>> {
        let issuer = self.end(py)?;
        Some(Box::new(move || drop(give_back(issuer))))
    }
}

impl<T: Issuer> Drop for Handle<T> {
    fn drop(&mut self) {
        // Python drops it, attached. Where it does not, as late in its end, the node rests until its window has passed.
        let issuer = Python::try_attach(|py| {
            let issuer = self.end(py);
            py.detach(|| drop(issuer));
        });
        if issuer.is_none() {
            mem::forget(self.state_taken());
        }
    }
}

impl<T: Issuer> Handle<T> {
    /// The issuer, where nobody is attached any more.
    fn state_taken(&mut self) -> Option<Arc<T>> {
        self.state.get_mut().held.take()
    }
}

impl Taking {
    fn wait(&self) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        while done.is_none() {
            done = self.changed.wait(done).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self, error: Option<Arc<LeaseError>>) {
        let done = Done { at: Instant::now(), error };
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        self.changed.notify_all();
    }

    fn status(&self) -> Status {
        match &*self.done.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Status::Running,
            Some(Done { at, error: Some(error) }) if at.elapsed() < REST => Status::Failed(Arc::clone(error)),
            Some(_) => Status::Over,
        }
    }
}

/// Ends an attempt whose thread unwinds.
struct Unwound<'a>(&'a Taking);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        self.0.end(None);
    }
}
