//! The hang catalog: what a broadcast consists of, as JSON in the track `catalog.json`, one group per version.
//!
//! Sections and fields that this gateway does not know are ignored, as the format wants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tombolo_signaling::message::{CodecName, MediaKind};

use super::h264::AvcRecord;
use crate::hub::messages::{FrameTrack, LayerInfo};

/// The name of the catalog's track.
pub(super) const TRACK: &str = "catalog.json";
/// The largest catalog that is read, in bytes.
pub(super) const MAX_BYTES: usize = 64 << 10;
/// The most renditions of one kind that are looked at.
const MAX_RENDITIONS: usize = 16;

/// A catalog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Catalog {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) video: Option<Section<Video>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<Section<Audio>>,
}

/// The renditions of one kind, by the names of their tracks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Section<T> {
    pub(super) renditions: BTreeMap<String, T>,
}

/// How a rendition of the picture is to be decoded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Video {
    pub(super) codec: String,
    #[serde(default)]
    pub(super) container: Container,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) coded_width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) coded_height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bitrate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) optimize_for_latency: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broadcast: Option<String>,
}

/// How a rendition of the sound is to be decoded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Audio {
    pub(super) codec: String,
    #[serde(default)]
    pub(super) container: Container,
    pub(super) sample_rate: u32,
    pub(super) number_of_channels: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broadcast: Option<String>,
}

/// How frames are wrapped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) kind: String,
}

impl Default for Container {
    fn default() -> Self {
        Self { kind: "legacy".to_owned() }
    }
}

/// A track that the gateway takes from a publisher, and where its layers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) track: FrameTrack,
    /// One for each of the track's layers.
    pub(super) sources: Vec<Source>,
}

/// The MoQ track of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: String,
    /// Present when the frames are length-prefixed H.264.
    pub(super) avc: Option<AvcRecord>,
}

impl Catalog {
    /// Reads a catalog.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The tracks of it that this gateway can route: at most one of the picture and one of the sound.
    ///
    /// All renditions of the picture in one codec become the layers of one track. Where the renditions are
    /// in several codecs, the codec with most of them wins.
    pub(super) fn offered(&self) -> Vec<Offered> {
        self.offered_video().into_iter().chain(self.offered_audio()).collect()
    }

    fn offered_video(&self) -> Option<Offered> {
        let renditions = &self.video.as_ref()?.renditions;
        let usable: Vec<_> = renditions
            .iter()
            .take(MAX_RENDITIONS)
            .filter_map(|(name, video)| Some((name, video, video.source(name)?)))
            .collect();
        let count = |codec| usable.iter().filter(|(_, _, (c, _))| *c == codec).count();
        let codec =
            if count(CodecName::Vp8) > count(CodecName::H264) { CodecName::Vp8 } else { CodecName::H264 };
        let mut layers: Vec<_> = usable.into_iter().filter(|(_, _, (c, _))| *c == codec).collect();
        // Lowest bit rate first; where no bit rate is told, the smallest picture first.
        layers.sort_by(|(_, a, _), (_, b, _)| a.rank().total_cmp(&b.rank()));
        let infos = layers.iter().map(|(name, video, _)| LayerInfo {
            name: layer_name(name),
            width: video.coded_width,
            height: video.coded_height,
        });
        let track =
            FrameTrack { label: "video".to_owned(), kind: MediaKind::Video, codec, layers: infos.collect() };
        let sources: Vec<_> = layers.into_iter().map(|(_, _, (_, source))| source).collect();
        (!sources.is_empty()).then_some(Offered { track, sources })
    }

    fn offered_audio(&self) -> Option<Offered> {
        let renditions = &self.audio.as_ref()?.renditions;
        let (name, _) = renditions.iter().take(MAX_RENDITIONS).find(|(_, audio)| {
            audio.codec == "opus" && audio.container.kind == "legacy" && audio.broadcast.is_none()
        })?;
        let track = FrameTrack {
            label: "audio".to_owned(),
            kind: MediaKind::Audio,
            codec: CodecName::Opus,
            layers: vec![LayerInfo::default()],
        };
        Some(Offered { track, sources: vec![Source { name: name.clone(), avc: None }] })
    }
}

impl Video {
    /// The codec and the source, when the gateway can take the rendition.
    fn source(&self, name: &str) -> Option<(CodecName, Source)> {
        if self.container.kind != "legacy" || self.broadcast.is_some() {
            return None;
        }
        let name = name.to_owned();
        if self.codec == "vp8" {
            return Some((CodecName::Vp8, Source { name, avc: None }));
        }
        if !self.codec.starts_with("avc1") && !self.codec.starts_with("avc3") {
            return None;
        }
        let avc = match &self.description {
            None => None,
            Some(hex) => Some(AvcRecord::parse(&from_hex(hex)?)?),
        };
        Some((CodecName::H264, Source { name, avc }))
    }

    fn rank(&self) -> f64 {
        let pixels = f64::from(self.coded_width.unwrap_or(0)) * f64::from(self.coded_height.unwrap_or(0));
        self.bitrate.unwrap_or(pixels)
    }
}

/// The layer's name: what follows the first `/` of the rendition's name.
fn layer_name(rendition: &str) -> String {
    rendition.split_once('/').map_or(rendition, |(_, rid)| rid).to_owned()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(json: &str) -> Vec<Offered> {
        Catalog::parse(json.as_bytes()).expect("a catalog").offered()
    }

    /// As `@moq/publish` 0.2.17 writes it.
    #[test]
    fn the_catalog_of_the_npm_publisher_is_one_track_of_each_kind() {
        let tracks = offered(
            r#"{"video":{"renditions":{
                "video/hd":{"codec":"avc1.640028","container":{"kind":"legacy"},"codedWidth":1280,"codedHeight":720,
                            "framerate":30,"bitrate":1000000,"optimizeForLatency":true},
                "video/sd":{"codec":"avc1.64001f","container":{"kind":"legacy"},"codedWidth":640,"codedHeight":360,
                            "bitrate":300000}},
              "display":{"width":1280,"height":720},"flip":true},
             "audio":{"renditions":{"audio/data":{"codec":"opus","container":{"kind":"legacy"},
                "sampleRate":48000,"numberOfChannels":2,"bitrate":64000}}},
             "user":{"name":"somebody"}}"#,
        );
        let [video, audio] = &tracks[..] else { panic!("two tracks: {tracks:?}") };
        assert_eq!(video.track.codec, CodecName::H264);
        let layers: Vec<_> = video.track.layers.iter().map(|layer| (&*layer.name, layer.height)).collect();
        assert_eq!(layers, [("sd", Some(360)), ("hd", Some(720))]);
        assert_eq!(video.sources[1], Source { name: "video/hd".into(), avc: None });
        assert_eq!(audio.track.codec, CodecName::Opus);
        assert_eq!(audio.sources[0].name, "audio/data");
    }

    #[test]
    fn renditions_that_cannot_be_routed_are_passed_over() {
        let tracks = offered(
            r#"{"video":{"renditions":{
                "a":{"codec":"av01.0.04M.08"},
                "b":{"codec":"vp8","container":{"kind":"cmaf","init":"AA=="}},
                "c":{"codec":"avc1.42e01f","description":"0142"},
                "d":{"codec":"avc1.42e01f","description":"zz"},
                "e":{"codec":"vp8","broadcast":"../other"}}},
             "audio":{"renditions":{"f":{"codec":"mp4a.40.2","sampleRate":44100,"numberOfChannels":2}}}}"#,
        );
        assert_eq!(tracks, []);
    }

    #[test]
    fn an_avcc_description_is_read() {
        let tracks = offered(
            r#"{"video":{"renditions":{"v":{"codec":"avc1.640028",
                "description":"01640028ffe100066764002800000100046801020304"}}}}"#,
        );
        assert_eq!(tracks.len(), 1);
        assert!(tracks[0].sources[0].avc.is_some());
    }

    #[test]
    fn what_the_gateway_writes_it_reads_back() {
        let video = Video { codec: "vp8".into(), optimize_for_latency: Some(true), ..Video::default() };
        let audio =
            Audio { codec: "opus".into(), sample_rate: 48_000, number_of_channels: 2, ..Audio::default() };
        let catalog = Catalog {
            video: Some(Section { renditions: BTreeMap::from([("video".into(), video)]) }),
            audio: Some(Section { renditions: BTreeMap::from([("audio".into(), audio)]) }),
        };
        let json = serde_json::to_string(&catalog).expect("JSON");
        assert!(json.contains(r#""container":{"kind":"legacy"}"#), "{json}");
        assert!(json.contains(r#""numberOfChannels":2"#), "{json}");
        assert_eq!(Catalog::parse(json.as_bytes()).expect("a catalog"), catalog);
        assert_eq!(catalog.offered().len(), 2);
    }

    #[test]
    fn malformed_catalogs_are_errors() {
        for json in ["", "{", "7", r#"{"video":3}"#, r#"{"video":{"renditions":{"v":{}}}}"#] {
            assert!(Catalog::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
