//! Where a session runs: beside the media task, or not.
//!
//! A frame's way to a client leads through the media task, a session and its connection. Where all of them take turns on
//! one thread, each hands on to the next for next to nothing; across threads each hand-over wakes a sleeping core, which
//! for a few sessions costs more than the work. For many sessions it is the other way round: their work would hold up the
//! media of all others. So the first few run beside the media task and all further ones elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime;

/// How many sessions run beside the media task.
const BESIDE_MEDIA: usize = 8;

/// The places that there are. Used from one task only.
pub(super) struct Places {
    others: Option<runtime::Handle>,
    taken: Arc<AtomicUsize>,
}

impl Places {
    /// Beyond the first few, sessions run in `others`; without it all of them run in the runtime of the caller.
    pub(super) fn new(others: Option<runtime::Handle>) -> Self {
        Self { others, taken: Arc::default() }
    }

    /// Starts a session, which stays where it starts, with all that it starts itself.
    pub(super) fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) {
        match &self.others {
            Some(others) if self.taken.load(Ordering::Relaxed) >= BESIDE_MEDIA => {
                others.spawn(session);
            }
            _ => {
                let place = Taken::new(&self.taken);
                tokio::spawn(async move {
                    session.await;
                    drop(place);
                });
            }
        }
    }
}

/// A place that is free again when this is dropped.
struct Taken(Arc<AtomicUsize>);

impl Taken {
    fn new(taken: &Arc<AtomicUsize>) -> Self {
        taken.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(taken))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Handle};
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Starts a session, which lives until the sender is dropped; tells whether it runs in the caller's runtime.
    async fn start(places: &Places) -> (bool, oneshot::Sender<()>) {
        let (told, mut tells) = mpsc::channel(1);
        let (end, ended) = oneshot::channel::<()>();
        places.spawn(async move {
            told.send(Handle::current().id()).await.expect("somebody listens");
            // An error means that the sender was dropped, which is the end as well.
            drop(ended.await);
        });
        let here = tells.recv().await.expect("a session that runs") == Handle::current().id();
        (here, end)
    }

    #[tokio::test]
    async fn the_first_few_run_here_the_next_elsewhere_and_a_place_is_used_again() {
        let others = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let places = Places::new(Some(others.handle().clone()));
        let mut sessions = Vec::new();
        for n in 0..=BESIDE_MEDIA {
            let (here, end) = start(&places).await;
            assert_eq!(here, n < BESIDE_MEDIA, "session {n}");
            sessions.push(end);
        }
        drop(sessions.swap_remove(0));
        while places.taken.load(Ordering::Relaxed) == BESIDE_MEDIA {
            tokio::task::yield_now().await;
        }
        let (here, _end) = start(&places).await;
        assert!(here, "the place that became free");
        others.shutdown_background();
    }

    #[tokio::test]
    async fn all_run_here_when_there_is_nowhere_else() {
        let places = Places::new(None);
        let mut sessions = Vec::new();
        for _ in 0..=BESIDE_MEDIA {
            let (here, end) = start(&places).await;
            assert!(here);
            sessions.push(end);
        }
    }
}
