//! One member's broadcast, for one client: `<name>.hang`.
//!
//! Nothing is made before the client asks for it. When it asks for the catalog the gateway already starts to
//! fetch the picture, so that the keyframe is on its way while the client reads the catalog.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moq_net::{Timescale, Timestamp, origin, track};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tombolo_signaling::message::{CodecName, MediaKind};

use super::catalog::{self, Audio, Catalog, Section, Video};
use super::pump::{self, Backlog, Target};
use crate::hub::Handle;
use crate::hub::messages::{Member, MemberTrack, ParticipantId, TrackId};

const CATALOG_PRIORITY: u8 = 100;
const AUDIO_PRIORITY: u8 = 80;
const VIDEO_PRIORITY: u8 = 60;
/// How far a group may fall behind before it is given up, where the client allows as much.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Where a broadcast comes from.
pub(super) struct Source {
    pub(super) hub: Handle,
    /// Who watches.
    pub(super) viewer: ParticipantId,
    /// Who is watched.
    pub(super) member: watch::Receiver<Arc<Member>>,
    /// How far the client's connection is behind.
    pub(super) backlog: Arc<Backlog>,
    /// How much sound a group holds at least.
    pub(super) sound_group: Duration,
}

/// A rendition: one layer of a track, under the name of its MoQ track.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rendition {
    name: String,
    track: TrackId,
    layer: usize,
    kind: MediaKind,
    codec: CodecName,
    width: Option<u32>,
    height: Option<u32>,
}

/// What is known of a rendition that has been asked for, by its name.
#[derive(Default)]
struct Known {
    /// The numbers of its groups, which only grow: a client that comes back is never shown a number twice.
    next_group: Arc<AtomicU64>,
    /// A running pump that has no MoQ track yet.
    prefetched: Option<oneshot::Sender<track::Producer>>,
    /// The codec string, once a keyframe has told it.
    codec: Option<String>,
}

struct Broadcast {
    source: Source,
    renditions: Vec<Rendition>,
    known: HashMap<(TrackId, usize), Known>,
    catalog: Option<track::Producer>,
    /// What the catalog said last.
    written: Option<Catalog>,
    pumps: JoinSet<()>,
    learned: mpsc::Sender<pump::Learned>,
}

/// Serves a member's broadcast until the member publishes nothing any more, or the origin is gone.
pub(super) async fn run(source: Source, origin: origin::Producer) {
    let path = format!("{}.hang", source.member.borrow().name.as_str());
    if let Err(error) = serve(source, &origin, &path).await {
        tracing::debug!(path, %error, "broadcast ended");
    }
}

async fn serve(source: Source, origin: &origin::Producer, path: &str) -> Result<(), moq_net::Error> {
    let producer = origin.create_broadcast(path)?;
    let mut requests = producer.dynamic();
    producer.announce(origin::Route::default())?;
    let mut member = source.member.clone();
    let (learned, mut lessons) = mpsc::channel(16);
    let mut broadcast = Broadcast {
        renditions: renditions(&member.borrow_and_update()),
        source,
        known: HashMap::new(),
        catalog: None,
        written: None,
        pumps: JoinSet::new(),
        learned,
    };
    loop {
        tokio::select! {
            request = requests.requested_track() => broadcast.answer(request?),
            changed = member.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                broadcast.change(renditions(&member.borrow_and_update()));
            }
            Some(lesson) = lessons.recv() => broadcast.learn(lesson),
            () = unused(broadcast.catalog.as_ref()) => broadcast.release_catalog(),
            Some(_) = broadcast.pumps.join_next() => {}
        }
    }
}

/// Waits until nobody has read a track for [`pump::GRACE`].
async fn unused(track: Option<&track::Producer>) {
    let Some(track) = track else { return std::future::pending().await };
    loop {
        // An error means that it is closed, which is as good.
        drop(track.unused().await);
        tokio::time::sleep(pump::GRACE).await;
        if !track.is_used() {
            return;
        }
    }
}

impl Broadcast {
    fn answer(&mut self, request: track::Request) {
        if request.name() == catalog::TRACK {
            let info = track::Info::default()
                .with_timescale(Timescale::MICRO)
                .with_priority(CATALOG_PRIORITY)
                .with_max_age(Duration::ZERO);
            self.catalog = Some(request.accept(info));
            self.written = None;
            self.prefetch();
            self.write_catalog();
            return;
        }
        let Some(rendition) =
            self.renditions.iter().find(|rendition| rendition.name == request.name()).cloned()
        else {
            return request.reject(moq_net::Error::NotFound);
        };
        let priority = match rendition.kind {
            MediaKind::Audio => AUDIO_PRIORITY,
            _ => VIDEO_PRIORITY,
        };
        let info = track::Info::default()
            .with_timescale(Timescale::MICRO)
            .with_priority(priority)
            .with_max_age(MAX_AGE);
        let producer = request.accept(info);
        let known = self.known.entry((rendition.track, rendition.layer)).or_default();
        let rejected = match known.prefetched.take() {
            Some(waiting) => waiting.send(producer).err(),
            None => Some(producer),
        };
        if let Some(producer) = rejected {
            let attach = self.start(&rendition);
            // The receiver is the pump that was started just now.
            let _ = attach.send(producer);
        }
    }

    /// Starts what the client is likely to ask for next: the best layer of the picture. Sound needs no start.
    fn prefetch(&mut self) {
        let best = self.renditions.iter().rfind(|rendition| rendition.kind == MediaKind::Video).cloned();
        let Some(best) = best else { return };
        let key = (best.track, best.layer);
        if self.known.get(&key).is_none_or(|known| known.prefetched.is_none()) {
            let attach = self.start(&best);
            self.known.entry(key).or_default().prefetched = Some(attach);
        }
    }

    fn start(&mut self, rendition: &Rendition) -> oneshot::Sender<track::Producer> {
        let (attach, attached) = oneshot::channel();
        let known = self.known.entry((rendition.track, rendition.layer)).or_default();
        let target = Target {
            viewer: self.source.viewer,
            track: rendition.track,
            layer: rendition.layer,
            kind: rendition.kind,
            codec: rendition.codec,
            next_group: Arc::clone(&known.next_group),
            learned: known.codec.is_none().then(|| self.learned.clone()),
            backlog: Arc::clone(&self.source.backlog),
            sound_group: self.source.sound_group,
        };
        self.pumps.spawn(pump::run(self.source.hub.clone(), target, attached));
        attach
    }

    fn change(&mut self, renditions: Vec<Rendition>) {
        if self.renditions == renditions {
            return;
        }
        self.renditions = renditions;
        let known = &self.renditions;
        self.known.retain(|key, _| known.iter().any(|rendition| (rendition.track, rendition.layer) == *key));
        if self.catalog.is_some() {
            self.prefetch();
            self.write_catalog();
        }
    }

    fn learn(&mut self, lesson: pump::Learned) {
        if let Some(known) = self.known.get_mut(&(lesson.track, lesson.layer)) {
            known.codec = Some(lesson.codec);
            self.write_catalog();
        }
    }

    fn release_catalog(&mut self) {
        if let Some(catalog) = self.catalog.take() {
            self.catalog = catalog.abort_unused(moq_net::Error::Cancel).err();
        }
        if self.catalog.is_none() {
            // What was fetched ahead for this reader is not wanted any more.
            for known in self.known.values_mut() {
                known.prefetched = None;
            }
        }
    }

    /// Writes the catalog if it is whole and new. It is not whole while the codec string of a picture is unknown.
    fn write_catalog(&mut self) {
        let Some(track) = &self.catalog else { return };
        let Some(catalog) = self.describe() else { return };
        if self.written.as_ref() == Some(&catalog) {
            return;
        }
        let written = serde_json::to_vec(&catalog).map_err(|error| error.to_string()).and_then(|json| {
            track.clone().write_frame(Timestamp::now(), json).map_err(|error| error.to_string())
        });
        match written {
            Ok(()) => self.written = Some(catalog),
            Err(error) => tracing::debug!(error, "catalog not written"),
        }
    }

    fn describe(&self) -> Option<Catalog> {
        let mut video = BTreeMap::new();
        let mut audio = BTreeMap::new();
        for rendition in &self.renditions {
            if rendition.kind == MediaKind::Audio {
                let config = Audio {
                    codec: "opus".to_owned(),
                    sample_rate: 48_000,
                    number_of_channels: 2,
                    ..Audio::default()
                };
                audio.insert(rendition.name.clone(), config);
            } else {
                let config = Video {
                    codec: self.codec_string(rendition)?,
                    coded_width: rendition.width,
                    coded_height: rendition.height,
                    optimize_for_latency: Some(true),
                    ..Video::default()
                };
                video.insert(rendition.name.clone(), config);
            }
        }
        let section = |is_empty: bool| (!is_empty).then_some(());
        Some(Catalog {
            video: section(video.is_empty()).map(|()| Section { renditions: video }),
            audio: section(audio.is_empty()).map(|()| Section { renditions: audio }),
        })
    }

    /// The codec string. Of several layers one tells it for all: they come from one encoder.
    fn codec_string(&self, rendition: &Rendition) -> Option<String> {
        if rendition.codec == CodecName::Vp8 {
            return Some("vp8".to_owned());
        }
        let known = |layer| self.known.get(&(rendition.track, layer)).and_then(|known| known.codec.clone());
        let layers = self.renditions.iter().filter(|other| other.track == rendition.track);
        known(rendition.layer).or_else(|| layers.map(|other| other.layer).find_map(known))
    }
}

/// The renditions of a member: its first picture, a rendition for each layer, and its first sound.
fn renditions(member: &Member) -> Vec<Rendition> {
    let first = |kind| member.tracks.iter().find(|track| track.kind == kind);
    let tracks = [(first(MediaKind::Video), "video"), (first(MediaKind::Audio), "audio")];
    tracks.into_iter().flat_map(|(track, base)| track.map(|track| layers(track, base))).flatten().collect()
}

fn layers(track: &MemberTrack, base: &str) -> Vec<Rendition> {
    let single = track.layers.len() == 1;
    let rendition = |(layer, info): (usize, &crate::hub::messages::LayerInfo)| Rendition {
        name: match (single, info.name.is_empty()) {
            (true, _) => base.to_owned(),
            (false, false) => format!("{base}/{}", info.name),
            (false, true) => format!("{base}/{layer}"),
        },
        track: track.track,
        layer,
        kind: track.kind,
        codec: track.codec,
        width: info.width,
        height: info.height,
    };
    track.layers.iter().enumerate().map(rendition).collect()
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        if let Some(catalog) = self.catalog.take() {
            let _ = catalog.finish();
        }
        let groups: u64 = self.known.values().map(|known| known.next_group.load(Ordering::Relaxed)).sum();
        tracing::trace!(groups, "broadcast dropped");
    }
}
