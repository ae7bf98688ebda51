//! [`Identity`]: who somebody is and what they may do. Every connection holds one, so it must stay small.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use haat_protocol::Id;

/// Somebody who is connected, or calls the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub user: User,
    /// The role, which holds for [`Identity::streams`]; [`Identity::role_in`] says what it is in one of them.
    pub role: Role,
    /// Where the role holds.
    pub streams: Streams,
    /// Whether it is somebody without a token.
    pub guest: bool,
    /// When the token expires, without leeway; `None`: never.
    pub expires: Option<SystemTime>,
}

/// Somebody's name for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// 1 to 128 characters, none of them a control character.
    pub id: Arc<str>,
    /// 1 to 64 characters, none of them a control character or one that turns the direction of text around.
    pub name: Arc<str>,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// Watches and takes part.
    #[default]
    Viewer,
    /// Owns a stream.
    Supplier,
    /// Keeps order in a stream.
    Moderator,
    /// A backend.
    Service,
}

/// Where a role holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streams {
    /// In every stream.
    All,
    /// In these; maybe in none.
    List(Box<[Box<str>]>),
}

impl Identity {
    /// A guest that nobody has met: the id is `guest-` and 12 random characters, the name `Guest` and four of them.
    pub fn guest() -> Self {
        static UNLUCKY: AtomicU64 = AtomicU64::new(0);
        match Id::random() {
            Ok(random) => Self::guest_again(&format!("guest-{}", &random.as_str()[..12])),
            // Nothing is guarded by a guest's id, so it only has to be another one than the others'.
            Err(_) => Self::guest_again(&format!("guest-{:012x}", UNLUCKY.fetch_add(1, Ordering::Relaxed))),
        }
    }

    /// The guest that had this id.
    pub fn guest_again(id: &str) -> Self {
        let short: String = id.strip_prefix("guest-").unwrap_or(id).chars().take(4).collect();
        let user = User { id: id.into(), name: format!("Guest {short}").into() };
        Self { user, role: Role::Viewer, streams: Streams::List(Box::default()), guest: true, expires: None }
    }

    /// Whether it is somebody without a token.
    pub fn is_guest(&self) -> bool {
        self.guest
    }

    /// The role in one stream: where its own does not hold, everyone is a viewer.
    pub fn role_in(&self, stream: &str) -> Role {
        if self.streams.contains(stream) { self.role } else { Role::Viewer }
    }
}

impl Role {
    /// As the claim `role` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Supplier => "supplier",
            Self::Moderator => "moderator",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Viewer, Self::Supplier, Self::Moderator, Self::Service]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(())
    }
}

impl Streams {
    /// Whether a stream is one of them.
    pub fn contains(&self, stream: &str) -> bool {
        match self {
            Self::All => true,
            Self::List(list) => list.iter().any(|id| **id == *stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staff(role: Role, streams: Streams) -> Identity {
        Identity { role, streams, ..Identity::guest() }
    }

    #[test]
    fn a_role_holds_only_in_its_streams() {
        for role in [Role::Supplier, Role::Moderator, Role::Service] {
            let some = staff(role, Streams::List(["a".into(), "b".into()].into()));
            assert_eq!(
                ["a", "b", "c", "", "A", "*"].map(|stream| some.role_in(stream) == role),
                [true, true, false, false, false, false]
            );
            assert_eq!(some.role_in("c"), Role::Viewer);
            assert_eq!(staff(role, Streams::All).role_in("anything"), role);
            assert_eq!(staff(role, Streams::List(Box::default())).role_in("a"), Role::Viewer);
        }
        assert_eq!(staff(Role::Viewer, Streams::All).role_in("a"), Role::Viewer);
    }

    #[test]
    fn guests_are_different_viewers() {
        let (one, two) = (Identity::guest(), Identity::guest());
        assert_ne!(one.user.id, two.user.id);
        for guest in [one, two] {
            let random = guest.user.id.strip_prefix("guest-").unwrap();
            assert_eq!(random.len(), 12);
            assert_eq!(*guest.user.name, format!("Guest {}", &random[..4]));
            assert!(guest.is_guest() && guest.expires.is_none());
            assert_eq!(guest.role_in("main"), Role::Viewer);
            assert_eq!(Identity::guest_again(&guest.user.id), guest);
        }
    }

    #[test]
    fn an_identity_is_small() {
        assert!(size_of::<Identity>() <= 72, "{} bytes", size_of::<Identity>());
    }

    #[test]
    fn roles_are_spelled_exactly() {
        for role in [Role::Viewer, Role::Supplier, Role::Moderator, Role::Service] {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for text in ["", "Viewer", "admin", "viewer ", "supplier\0"] {
            assert_eq!(text.parse::<Role>(), Err(()), "{text:?}");
        }
    }
}
