//! The publishing side of a session: what the client announces as `<its name>.hang` becomes tracks of the channel.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moq_net::track::Subscription;
use moq_net::{broadcast, group, origin};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tombolo_signaling::message::MediaKind;
use tombolo_signaling::name::Name;

use super::catalog::{self, Catalog, Offered, Source};
use super::container;
use super::control::Control;
use crate::hub::messages::{Demand, Frame, ParticipantId, TrackId};
use crate::hub::{Guard, Handle};

const CATALOG_PRIORITY: u8 = 100;
const AUDIO_PRIORITY: u8 = 80;
const VIDEO_PRIORITY: u8 = 60;
/// How long a late group is waited for when a newer one has come.
const MAX_AGE: Duration = Duration::from_millis(500);
/// How long a track that has gone from the catalog is kept: some publishers write the catalog without it and
/// with it again.
const GRACE: Duration = Duration::from_secs(1);
/// The largest frame that is taken, in bytes.
const MAX_FRAME_BYTES: u64 = 4 << 20;
/// How long to wait before a broadcast or a catalog that broke is asked for again.
const RETRY: Duration = Duration::from_millis(500);

/// Why the publishing side ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The media task stopped.
    Stopped,
    /// The client publishes under another name than it has.
    Named(Name),
}

/// Who publishes, and through what.
pub(super) struct Publisher<'a> {
    pub(super) hub: Handle,
    pub(super) participant: ParticipantId,
    pub(super) name: Name,
    pub(super) control: &'a Control,
}

/// Takes what the client announces, until the media task stops or the client announces another name.
pub(super) async fn run(
    publisher: Publisher<'_>,
    origin: origin::Consumer,
    demands: &mut mpsc::Receiver<Demand>,
) -> Ended {
    let own = format!("{}.hang", publisher.name.as_str());
    let mut announced = origin.announced();
    let mut published: HashMap<TrackId, Published> = HashMap::new();
    let (reports, mut reported) = mpsc::channel(8);
    let mut listening = false;
    let demand = publisher.control.keyframes_demand();
    let mut _follower: Option<Follower> = None;
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            update = announced.next() => {
                let Some(update) = update else { return Ended::Stopped };
                let path = update.prefix.as_str().to_owned();
                let Some(stem) = path.strip_suffix(".hang") else { continue };
                if path == own {
                    if update.kind.is_active() {
                        let follow = follow(origin.clone(), path, reports.clone());
                        _follower = Some(Follower(tasks.spawn(follow)));
                    } else {
                        _follower = None;
                        published.clear();
                    }
                } else if update.kind.is_active() && let Ok(name) = stem.parse() {
                    return Ended::Named(name);
                }
            }
            Some(report) = reported.recv() => {
                reconcile(&publisher, &mut published, report, listening, &mut tasks).await;
            }
            demand = demands.recv() => match demand {
                None => return Ended::Stopped,
                Some(demand) => answer(&publisher, &own, &published, demand),
            },
            () = edge(&demand, listening) => {
                listening = !listening;
                tracing::debug!(name = publisher.name.as_str(), listening, "requests for keyframes");
                for track in published.keys() {
                    publisher.hub.set_can_request_keyframe(*track, listening).await;
                }
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Waits until the client begins, or ends, to listen to requests for keyframes.
async fn edge(demand: &moq_net::track::Demand, listening: bool) {
    let result = if listening { demand.unused().await } else { demand.used().await };
    if result.is_err() {
        // The control broadcast lives as long as the session.
        std::future::pending::<()>().await;
    }
}

struct Follower(AbortHandle);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a broadcast consists of now.
struct Report {
    broadcast: broadcast::Consumer,
    offered: Vec<Offered>,
}

/// A track in the channel. Dropping it ends the track and stops its readers.
struct Published {
    offered: Offered,
    wanted: Vec<watch::Sender<bool>>,
    readers: Vec<AbortHandle>,
    _guard: Guard,
}

impl Drop for Published {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

fn answer(publisher: &Publisher<'_>, path: &str, published: &HashMap<TrackId, Published>, demand: Demand) {
    tracing::trace!(path, ?demand, "demand");
    match demand {
        Demand::Keyframe { track, layer } => {
            if let Some(source) = published.get(&track).and_then(|track| track.offered.sources.get(layer)) {
                publisher.control.ask_for_keyframe(path, &source.name);
            }
        }
        Demand::Wanted { track, layer, wanted } => {
            if let Some(sender) = published.get(&track).and_then(|track| track.wanted.get(layer)) {
                sender.send_replace(wanted);
            }
        }
    }
}

/// Publishes what is new in the catalog and ends what is gone.
async fn reconcile(
    publisher: &Publisher<'_>,
    published: &mut HashMap<TrackId, Published>,
    report: Report,
    listening: bool,
    tasks: &mut JoinSet<()>,
) {
    published.retain(|_, track| report.offered.contains(&track.offered));
    for offered in report.offered {
        if published.values().any(|track| track.offered == offered) {
            continue;
        }
        let (track, guard) =
            match publisher.hub.publish(publisher.participant, offered.track.clone(), listening).await {
                Ok(published) => published,
                Err(error) => {
                    tracing::info!(%error, name = publisher.name.as_str(), "not published");
                    continue;
                }
            };
        let mut wanted = Vec::new();
        let mut readers = Vec::new();
        for (layer, source) in offered.sources.iter().enumerate() {
            // Wanted at first: the media task says so when nobody wants it.
            let (sender, receiver) = watch::channel(true);
            let reader = Reader {
                hub: publisher.hub.clone(),
                broadcast: report.broadcast.clone(),
                track,
                layer,
                source: source.clone(),
                kind: offered.track.kind,
            };
            readers.push(tasks.spawn(reader.run(receiver)));
            wanted.push(sender);
        }
        published.insert(track, Published { offered, wanted, readers, _guard: guard });
    }
}

/// Follows a broadcast's catalog and reports what it offers.
async fn follow(origin: origin::Consumer, path: String, reports: mpsc::Sender<Report>) {
    loop {
        match follow_once(&origin, &path, &reports).await {
            Ok(()) => {}
            Err(error) => tracing::debug!(path, %error, "broadcast lost"),
        }
        if reports.is_closed() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_once(
    origin: &origin::Consumer,
    path: &str,
    reports: &mpsc::Sender<Report>,
) -> Result<(), moq_net::Error> {
    let broadcast = origin.request_broadcast(path).await?;
    let subscription = Subscription::default().with_priority(CATALOG_PRIORITY);
    let mut catalogs = broadcast.track(catalog::TRACK)?.subscribe(subscription).await?.ordered();
    let mut last: Vec<Offered> = Vec::new();
    let mut shrunk: Option<(tokio::time::Instant, Vec<Offered>)> = None;
    loop {
        let due = shrunk.as_ref().map(|(due, _)| *due);
        let group = tokio::select! {
            group = catalogs.next_group() => group?,
            () = sleep_until(due) => {
                if let Some((_, offered)) = shrunk.take() {
                    last.clone_from(&offered);
                    if reports.send(Report { broadcast: broadcast.clone(), offered }).await.is_err() {
                        return Ok(());
                    }
                }
                continue;
            }
        };
        let Some(mut group) = group else { return Ok(()) };
        let Some(offered) = read_catalog(&mut group).await? else { continue };
        shrunk = None;
        if offered == last {
            continue;
        }
        if last.iter().any(|track| !offered.iter().any(|other| other.track.kind == track.track.kind)) {
            shrunk = Some((tokio::time::Instant::now() + GRACE, offered));
            continue;
        }
        last.clone_from(&offered);
        if reports.send(Report { broadcast: broadcast.clone(), offered }).await.is_err() {
            return Ok(());
        }
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Reads the newest catalog of a group; `None` when it is none that the gateway understands.
async fn read_catalog(group: &mut group::Consumer) -> Result<Option<Vec<Offered>>, moq_net::Error> {
    let Some(frame) = group.read_frame().await? else { return Ok(None) };
    if frame.payload.len() > catalog::MAX_BYTES {
        tracing::debug!(bytes = frame.payload.len(), "catalog too large");
        return Ok(None);
    }
    match Catalog::parse(&frame.payload) {
        Ok(catalog) => Ok(Some(catalog.offered())),
        Err(error) => {
            tracing::debug!(%error, "catalog not understood");
            Ok(None)
        }
    }
}

/// Waits until the layer is wanted or not; `false` when the track has ended.
async fn until(wanted: &mut watch::Receiver<bool>, state: bool) -> bool {
    wanted.wait_for(|wanted| *wanted == state).await.is_ok()
}

/// Reads one layer of a track for as long as somebody wants it.
struct Reader {
    hub: Handle,
    broadcast: broadcast::Consumer,
    track: TrackId,
    layer: usize,
    source: Source,
    kind: MediaKind,
}

impl Reader {
    async fn run(self, mut wanted: watch::Receiver<bool>) {
        let mut newest = None;
        loop {
            if !until(&mut wanted, true).await {
                return;
            }
            tokio::select! {
                result = self.read(&mut newest) => {
                    if let Err(error) = result {
                        tracing::debug!(track = self.source.name, %error, "track lost");
                    }
                    // The catalog says when it is gone for good.
                    tokio::time::sleep(RETRY).await;
                }
                still_known = until(&mut wanted, false) => {
                    if !still_known {
                        return;
                    }
                    self.hub.push_gap(self.track, self.layer).await;
                }
            }
        }
    }

    /// Reads groups from the live edge on. `newest` is the number of the newest group that was read, now or before.
    async fn read(&self, newest: &mut Option<u64>) -> Result<(), moq_net::Error> {
        let priority = if self.kind == MediaKind::Audio { AUDIO_PRIORITY } else { VIDEO_PRIORITY };
        let subscription = Subscription::default().with_priority(priority).with_max_age(MAX_AGE);
        let mut groups = self.broadcast.track(&self.source.name)?.subscribe(subscription).await?.ordered();
        while let Some(mut group) = groups.next_group().await? {
            // moq-net keeps groups for those who come back; what was read before a pause is the past.
            if newest.is_some_and(|newest| group.sequence <= newest) {
                continue;
            }
            *newest = Some(group.sequence);
            if let Err(error) = self.read_group(&mut group).await {
                tracing::debug!(track = self.source.name, group = group.sequence, %error, "group lost");
                self.hub.push_gap(self.track, self.layer).await;
            }
        }
        Ok(())
    }

    async fn read_group(&self, group: &mut group::Consumer) -> Result<(), moq_net::Error> {
        let mut first = true;
        while let Some(frame) = group.read_frame().await? {
            let Some(frame) = self.unwrap(frame.payload, first || self.kind == MediaKind::Audio) else {
                return Err(moq_net::Error::ProtocolViolation);
            };
            first = false;
            if !self.hub.push_frame(self.track, self.layer, frame).await {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The frame in the container; `None` when it is malformed or too large.
    fn unwrap(&self, payload: Bytes, keyframe: bool) -> Option<Frame> {
        if payload.len() as u64 > MAX_FRAME_BYTES {
            return None;
        }
        let (media_time_us, data) = container::unwrap(payload)?;
        let data = match &self.source.avc {
            Some(record) => record.to_annex_b(&data, keyframe)?,
            None => data,
        };
        Some(Frame { media_time_us, keyframe, data, arrival: Instant::now() })
    }
}
