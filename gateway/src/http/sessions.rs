//! The WHIP and WHEP sessions, by the unguessable last part of their URL.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::rtc::command::LegId;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its peer connection.
    pub leg: LegId,
    /// The entity tag of its ICE session, with its quotes (RFC 9725 §4.3.1).
    pub etag: String,
    /// The client's ICE user name fragment.
    pub ufrag: String,
}

/// All sessions. As many as there are WHIP and WHEP legs, which the limits of the channels bound.
#[derive(Debug, Default)]
pub struct Sessions {
    by_id: Mutex<HashMap<String, Session>>,
}

impl Sessions {
    /// Keeps a session under a new id, which is returned.
    pub fn insert(&self, session: Session) -> String {
        let id = random_id();
        self.lock().insert(id.clone(), session);
        id
    }

    /// The session of that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Session> {
        self.lock().get(id).cloned()
    }

    /// Forgets the session of that id.
    pub fn remove(&self, id: &str) -> Option<Session> {
        self.lock().remove(id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        // Every change is one call on the map: a panic elsewhere leaves it whole.
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 bits of the operating system's randomness, in hexadecimal.
#[must_use]
pub fn random_id() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_until_it_is_removed() {
        let sessions = Sessions::default();
        let session = Session { leg: LegId(1), etag: "\"a\"".into(), ufrag: "u".into() };
        let (one, other) = (sessions.insert(session.clone()), sessions.insert(session.clone()));
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
        assert_eq!(sessions.get(&one), Some(session));
        assert!(sessions.remove(&one).is_some());
        assert_eq!(sessions.get(&one), None);
        assert_eq!(sessions.len(), 1);
    }
}
