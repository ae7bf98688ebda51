//! Claims. Those of one pool that wait together are decided in one step.

use std::{future::Future, sync::Arc};

use redis::{Cmd, Value};

use super::{
    Core,
    arguments::check_arguments,
    desk::{Desk, Errand},
    fault::Fault,
    market::{Answer, grant, no_stream, number, optional},
    seen::Steps,
    store::{is_stream, milliseconds, value},
    till::Way,
};
use crate::{Claim, Claimed, Grant, GrantState, RETURN_DELAY, Refusal, StoreError, new_epoch};

impl Errand for Claim {
    /// Stream and pool.
    type Place = (String, String);
    type Answer = Claimed;

    /// One is decided while the answers to the other are given out. Which of them comes first is nobody's right.
    const STEPS: usize = 2;

    fn desk(core: &Core) -> &Desk<Self> {
        &core.claims
    }

    fn place(&self) -> Self::Place {
        (self.stream.clone(), self.pool.clone())
    }

    fn bytes(&self) -> usize {
        self.data.iter().map(String::len).sum()
    }

    fn is_like(&self, other: &Self) -> bool {
        self.checks == other.checks
            && self.terms == other.terms
            && self.data.len() == other.data.len()
            && self.worth.iter().map(|worth| &worth.name).eq(other.worth.iter().map(|worth| &worth.name))
    }

    fn do_all(
        core: &Core,
        claims: &[&Self],
    ) -> impl Future<Output = Result<Vec<Result<Claimed, StoreError>>, StoreError>> + Send {
        core.decide_claims(claims)
    }
}

impl Core {
    /// See [`Market::claim`](crate::Market::claim).
    pub(super) async fn claim(self: Arc<Self>, claim: Claim) -> Result<Claimed, StoreError> {
        self.check_name(&[&claim.pool, &claim.id, &claim.user, claim.request.as_deref().unwrap_or_default()])?;
        if !is_stream(&claim.stream) {
            return Err(no_stream());
        }
        self.run_errand(claim).await
    }

    async fn decide_claims(&self, claims: &[&Claim]) -> Result<Vec<Result<Claimed, StoreError>>, StoreError> {
        let Some(first) = claims.first() else { return Ok(Vec::new()) };
        let (limits, terms) = (&self.settings.limits, &first.terms);
        let epoch = new_epoch()?;
        let (position, sale) = self.seen.both(&first.stream);
        let keys = ["fields", "grants", "holds", &*format!("grants:{}", first.pool), "clock"];
        let arguments = |command: &mut Cmd| {
            command.arg(&first.pool).arg(terms.stock).arg(terms.per_user);
            command.arg(number(terms.opens)).arg(number(terms.ends)).arg(number(terms.hold));
            command.arg(limits.takers).arg(limits.ledger_records).arg(milliseconds(self.settings.times.retain));
            command.arg(milliseconds(RETURN_DELAY));
            command.arg(first.checks.len()).arg(first.data.len()).arg(first.worth.len()).arg(claims.len());
            command.arg(&*position.epoch).arg(position.seq).arg(&*sale.epoch).arg(sale.count).arg(&*epoch);
            check_arguments(command, &first.checks);
            first.worth.iter().for_each(|worth| {
                command.arg(&worth.name);
            });
            for claim in claims {
                command.arg(&claim.id).arg(&claim.user).arg(optional(claim.request.as_deref()));
                command.arg(claim.quantity).arg(&claim.by).arg(&claim.data);
                claim.worth.iter().for_each(|worth| {
                    command.arg(worth.value);
                });
            }
        };
        let answer = self.step(Way::Till, &self.scripts.claim, &first.stream, &keys, arguments).await?;
        let mut answers = value::<Vec<Value>>(answer, "claims")?.into_iter();
        let head: String = value(answers.next().unwrap_or(Value::Nil), "claims")?;
        if head == "X" {
            return Err(no_stream());
        }
        let now: u64 = head.parse().map_err(|_| Fault::nonsense("claims"))?;
        let epoch: String = value(answers.next().unwrap_or(Value::Nil), "claims")?;
        let steps: String = value(answers.next().unwrap_or(Value::Nil), "claims")?;
        if let Ok(count) = steps.parse() {
            self.seen.note_sale(&first.stream, &Steps { epoch: epoch.into(), count });
        }
        let each = |(claim, said): (&&Claim, Value)| self.claimed(claim, now, Answer::new(said, "a claim")?);
        let claimed: Vec<_> = claims.iter().zip(answers).map(each).collect();
        let last = claimed.iter().rev().find_map(|claimed| match claimed {
            Ok(Claimed::New(grant)) => Some(grant),
            _ => None,
        });
        if let Some(grant) = last {
            self.seen.note_grant(&first.stream, grant);
        }
        Ok(claimed)
    }

    fn claimed(&self, claim: &Claim, now: u64, mut answer: Answer) -> Result<Claimed, StoreError> {
        Ok(match &*answer.word {
            "N" => Claimed::New(granted(claim, now, answer.next()?)),
            "R" => Claimed::Repeat(grant(answer.next()?)?),
            "M" => Claimed::Refused(Refusal::Mismatch),
            "E" => Claimed::Refused(Refusal::Early(claim.terms.opens.unwrap_or_default())),
            "L" => Claimed::Refused(Refusal::Late),
            "S" => Claimed::Refused(Refusal::Limit(answer.next()?)),
            "G" => Claimed::Refused(Refusal::SoldOut(answer.next()?)),
            _ => return Err(answer.refused(&claim.checks, self.settings.limits.takers)),
        })
    }
}

/// The grant that was made of a claim.
fn granted(claim: &Claim, now: u64, left: u64) -> Grant {
    Grant {
        id: claim.id.as_str().into(),
        user: claim.user.as_str().into(),
        request: claim.request.as_deref().map(Into::into),
        quantity: claim.quantity,
        text: claim.data.join(&now.to_string()).into(),
        left,
        state: claim.terms.hold.map_or(GrantState::Final, |hold| GrantState::Held(now.saturating_add(hold))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Check, Terms};

    #[test]
    fn claims_under_other_checks_or_terms_are_not_alike() {
        let claim = Claim::default();
        let checked = Claim { checks: vec![Check::Is("a".to_owned(), None)], ..Claim::default() };
        let cheaper = Claim { terms: Terms { stock: 6, ..Terms::default() }, ..Claim::default() };
        assert!(!checked.is_like(&claim) && !cheaper.is_like(&claim));
        assert!(checked.is_like(&Claim { id: "c2".to_owned(), ..checked.clone() }));
    }
}
