//! A store behind a pointer is a store: a process can keep one store for its leases and for its operators.

use std::sync::Arc;

use crate::id::Epoch;
use crate::lease::error::LeaseError;
use crate::lease::store::{Grant, LeaseStore, Renewal, Request};

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<S: LeaseStore + ?Sized> LeaseStore for $pointer {
            fn epoch(&self) -> Epoch {
                (**self).epoch()
            }

            fn acquire(&self, request: &Request) -> Result<Grant, LeaseError> {
                (**self).acquire(request)
            }

            fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
                (**self).renew(renewal)
            }

            fn renew_all(&self, renewals: &[Renewal]) -> Vec<Result<Grant, LeaseError>> {
                (**self).renew_all(renewals)
            }

            fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
                (**self).release(grant, used_until)
            }
        }
    )*};
}

forward!(&S, Arc<S>, Box<S>);
