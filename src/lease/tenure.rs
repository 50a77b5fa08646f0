//! One node's tenure as the keeper knows it: the grant, and the renewal whose outcome is unknown.
//!
//! A renewal is noted before the store is called, and forgotten once the store has acknowledged it. So a renewal that
//! timed out, or that unwound, is sent again with the nonce that the store may have already.

use crate::lease::error::LeaseError;
use crate::lease::store::{Grant, Renewal};

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

    /// The renewal to send: the unanswered one as it was, or a new one up to `until`, in Unix milliseconds.
    ///
    /// A copy of the process (a cloned machine) has the same unanswered renewal. With a later end, both copies could have
    /// it acknowledged, and both would issue in a window that neither had asked for when they were copied.
    pub(super) fn renewal(&mut self, until: u64) -> Renewal {
        let grant = &self.grant;
        self.unanswered.get_or_insert_with(|| Renewal::new(grant.clone(), grant.until.max(until))).clone()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Node;
    use crate::lease::store::Owner;

    /// What becomes of one request.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Answered,
        /// It never reaches the store.
        Lost,
        /// It is executed, and its answer never arrives.
        Unheard,
        /// Its caller gives up, and it is executed before this holder's or the other's next request.
        Late,
    }

    const FATES: [Fate; 4] = [Fate::Answered, Fate::Lost, Fate::Unheard, Fate::Late];

    /// How a holder retries.
    type Retry = fn(&mut Tenure);

    /// A store's row, by the contract of `LeaseStore::renew`.
    struct Row {
        nonce: u64,
        until: u64,
        late: Vec<Renewal>,
    }

    impl Row {
        fn execute(&mut self, renewal: &Renewal) -> Option<Grant> {
            renewal.is_by(self.nonce).then(|| {
                self.nonce = renewal.next_nonce;
                self.until = self.until.max(renewal.until);
                renewal.granted(self.until)
            })
        }

        fn catch_up(&mut self) {
            for renewal in std::mem::take(&mut self.late) {
                self.execute(&renewal);
            }
        }
    }

    /// What a run found.
    #[derive(Debug, Default)]
    struct Found {
        /// The nonces of the renewals that were acknowledged after the copying, each with its holder.
        acknowledged: Vec<(usize, u64)>,
        lost: [bool; 2],
    }

    fn tenure() -> Tenure {
        let owner = Owner { nonce: 1, label: String::new() };
        Tenure::new(Grant { node: Node::at(0), floor: 0, until: 100, token: 1, owner })
    }

    fn copy(tenure: &Tenure) -> Tenure {
        Tenure { grant: tenure.grant.clone(), unanswered: tenure.unanswered.clone(), ..self::tenure() }
    }

    /// Runs a schedule: each step is a request of one holder and its fate. Before the step `copied` the second holder
    /// comes to be, as a copy of the first.
    fn run(schedule: &[(usize, Fate)], copied: usize, retry: Retry) -> Found {
        let mut row = Row { nonce: 1, until: 100, late: Vec::new() };
        let mut holders = vec![tenure()];
        let mut found = Found::default();
        for (step, &(holder, fate)) in schedule.iter().enumerate() {
            if step == copied {
                let other = copy(&holders[0]);
                holders.push(other);
            }
            let Some(tenure) = holders.get_mut(holder).filter(|_| !found.lost[holder]) else { continue };
            let renewal = tenure.renewal(200 + step as u64);
            match fate {
                Fate::Late => {
                    row.late.push(renewal);
                    retry(tenure);
                }
                Fate::Lost => retry(tenure),
                Fate::Answered | Fate::Unheard => {
                    row.catch_up();
                    match (row.execute(&renewal), fate) {
                        (_, Fate::Unheard) => retry(tenure),
                        (Some(granted), _) => {
                            tenure.check(&granted).expect("an answer to it");
                            tenure.renewed(granted);
                            if step >= copied {
                                found.acknowledged.push((holder, renewal.next_nonce));
                            }
                        }
                        (None, _) => found.lost[holder] = true,
                    }
                }
            }
        }
        found
    }

    /// Tries all schedules of so many steps.
    fn explore(steps: u32, holders: usize, mut each: impl FnMut(&[(usize, Fate)])) {
        let choices = holders * FATES.len();
        for mut number in 0..choices.pow(steps) {
            let schedule: Vec<_> = (0..steps)
                .map(|_| {
                    let choice = number % choices;
                    number /= choices;
                    (choice / FATES.len(), FATES[choice % FATES.len()])
                })
                .collect();
            each(&schedule);
        }
    }

    /// The same pair again, as the keeper does it.
    fn same(_: &mut Tenure) {}

    /// A new pair for each attempt.
    fn fresh(tenure: &mut Tenure) {
        tenure.unanswered = None;
    }

    #[test]
    fn an_unanswered_renewal_is_sent_again_as_it_was() {
        let mut tenure = tenure();
        let sent = tenure.renewal(200);
        assert_eq!(tenure.renewal(300), sent);
        tenure.renewed(sent.granted(200));
        assert_eq!(tenure.renewal(300).until, 300);
    }

    fn lost_alone(retry: Retry) -> usize {
        let mut lost = 0;
        explore(7, 1, |schedule| lost += usize::from(run(schedule, usize::MAX, retry).lost[0]));
        lost
    }

    #[test]
    fn no_lost_or_late_answer_costs_a_holder_its_lease() {
        assert_eq!(lost_alone(same), 0);
    }

    #[test]
    fn negative_control_a_fresh_nonce_for_each_attempt() {
        assert!(lost_alone(fresh) > 1000, "{}", lost_alone(fresh));
    }

    /// Two copies share a renewal only if they were copied while it was unanswered. Behind it one of them goes on.
    #[test]
    fn of_two_copies_one_goes_on() {
        let mut contested = 0;
        for copied in 0..3 {
            explore(5, 2, |schedule| {
                let found = run(schedule, copied, same);
                let shared = |nonce| [0, 1].iter().all(|&by| found.acknowledged.contains(&(by, nonce)));
                let mut own = found.acknowledged.iter().skip_while(|&&(_, nonce)| shared(nonce)).map(|&(by, _)| by);
                let first = own.next();
                assert!(own.all(|by| Some(by) == first), "{found:?} by {schedule:?}, copied before step {copied}");
                assert!(!(found.lost[0] && found.lost[1]), "{found:?} by {schedule:?}, copied before step {copied}");
                contested += usize::from(found.lost[0] || found.lost[1]);
            });
        }
        assert!(contested > 1000, "{contested}");
    }
}
