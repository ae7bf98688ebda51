//! [`Guard`]: how often somebody may ask. Users by themselves, wherever they ask from; nobodies by their address; and
//! those who guess tokens.

use std::{net::IpAddr, sync::Arc};

use super::Error;
use crate::{
    auth::{Identity, Role},
    config::{Limits, Rate},
    limit::{Keyed, block_of},
    live::reject::Reject,
};

/// Tokens that are no good, from one address: ten a minute.
const FAILURES: Rate = Rate { per_second: 10.0 / 60.0, burst: 10 };

/// The limits of the HTTP API.
pub(super) struct Guard {
    users: Keyed<Arc<str>>,
    staff: Keyed<Arc<str>>,
    addresses: Keyed<IpAddr>,
    failures: Keyed<IpAddr>,
}

impl Guard {
    /// The limits of connections, for requests.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            users: Keyed::new(limits.events),
            staff: Keyed::new(limits.staff),
            addresses: Keyed::new(limits.events),
            failures: Keyed::new(if limits.events.is_off() { Rate::OFF } else { FAILURES }),
        }
    }

    /// A request of a user.
    pub(super) fn user(&self, identity: &Identity) -> Result<(), Error> {
        let users = if identity.role == Role::Viewer { &self.users } else { &self.staff };
        users.check(&identity.user.id).map_err(|wait| Error(Reject::rate_limited(wait)))
    }

    /// A request without a token.
    pub(super) fn address(&self, address: IpAddr) -> Result<(), Error> {
        self.addresses.check(&block_of(address)).map_err(|wait| Error(Reject::rate_limited(wait)))
    }

    /// A token that is no good.
    pub(super) fn failure(&self, address: IpAddr) -> Result<(), Error> {
        self.failures.check(&block_of(address)).map_err(|wait| Error(Reject::rate_limited(wait)))
    }
}
