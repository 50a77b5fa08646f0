//! One node's tenure as the keeper knows it: the grant, and the renewal whose outcome is unknown.
//!
//! A renewal is noted before the store is called, and forgotten once the store has acknowledged it. So a renewal that
//! timed out, or that unwound, is sent again with the nonce that the store may have already.

use crate::lease::{Grant, LeaseError, Renewal};

#[derive(Debug)]
pub(super) struct Tenure {
    grant: Grant,
    unanswered: Option<Renewal>,
    /// Whether the last renewal failed.
    pub(super) failing: bool,
    /// Whether the end of the window is reported.
    pub(super) ended: bool,
}

impl Tenure {
    pub(super) fn new(grant: Grant) -> Self {
        Tenure { grant, unanswered: None, failing: false, ended: false }
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The renewal up to `until`, in Unix milliseconds: the unanswered one with this end, or a new one.
    pub(super) fn renewal(&mut self, until: u64) -> Renewal {
        let grant = &self.grant;
        let renewal = self.unanswered.get_or_insert_with(|| Renewal::new(grant.clone(), grant.until));
        renewal.until = renewal.until.max(until);
        renewal.clone()
    }

    /// Refuses an answer that is no answer to the renewal: a store must not make a window shorter.
    pub(super) fn check(&self, granted: &Grant) -> Result<(), LeaseError> {
        let Grant { node, token, until, .. } = self.grant;
        if granted.node == node && granted.token == token && granted.until >= until {
            return Ok(());
        }
        let source = format!(
            "the store returned node {} with token {} until {}, and not node {node} with token {token} until {until} or \
             later: check the store",
            granted.node, granted.token, granted.until
        );
        Err(LeaseError::Unavailable { doing: "renewing the lease".into(), source: source.into() })
    }

    /// Takes the grant that the store returned for the renewal.
    pub(super) fn renewed(&mut self, granted: Grant) {
        self.grant = granted;
        self.unanswered = None;
        self.failing = false;
    }

    /// The grant as the store has it if it executed the renewal that it did not answer.
    pub(super) fn possible(&self) -> Option<Grant> {
        self.unanswered.as_ref().map(|renewal| renewal.granted(self.grant.until))
    }
}
