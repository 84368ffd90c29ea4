//! `/metrics`: a snapshot of every counter in the Prometheus text format.

use metrics::{counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::core;
use crate::http::connections::Connections;
use crate::moq::MoqStats;
use crate::port::PortStats;
use crate::rtc;

/// Everything that the media task counts, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The routing core.
    pub core: core::Stats,
    /// The WebRTC legs.
    pub rtc: rtc::Stats,
    /// The UDP port.
    pub port: PortStats,
}

/// Writes a snapshot, and what the QUIC and the HTTP side count.
#[must_use]
pub fn render(snapshot: &Snapshot, quic: MoqStats, http: &Connections) -> String {
    // The counters live where they are counted; the recorder only knows the format, so each call has its own.
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        record_core(&snapshot.core);
        record_rtc(&snapshot.rtc);
        record_port(&snapshot.port);
        record_quic(quic);
        set("tombolo_http_connections", http.open());
        counter!("tombolo_http_connections_refused_total").absolute(http.refused());
    });
    recorder.handle().render()
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; no gauge here nears 2^52")]
fn set(name: &'static str, value: usize) {
    gauge!(name).set(value as f64);
}

fn record_core(stats: &core::Stats) {
    set("tombolo_channels", stats.channels);
    set("tombolo_participants", stats.participants);
    set("tombolo_tracks", stats.tracks);
    set("tombolo_subscriptions", stats.subscriptions);
    set("tombolo_kept_group_bytes", stats.kept_bytes);
    counter!("tombolo_packets_total", "direction" => "in").absolute(stats.packets_in);
    counter!("tombolo_packets_total", "direction" => "out").absolute(stats.packets_out);
    counter!("tombolo_frames_total", "direction" => "in").absolute(stats.frames_in);
    counter!("tombolo_frames_total", "direction" => "out").absolute(stats.frames_out);
    counter!("tombolo_media_bytes_total", "direction" => "in").absolute(stats.bytes_in);
    counter!("tombolo_media_bytes_total", "direction" => "out").absolute(stats.bytes_out);
    counter!("tombolo_keyframes_wanted_total").absolute(stats.keyframes_wanted);
    counter!("tombolo_keyframes_asked_total").absolute(stats.keyframes_asked);
    counter!("tombolo_keyframes_received_total").absolute(stats.keyframes_in);
    counter!("tombolo_gaps_total").absolute(stats.gaps);
    counter!("tombolo_resyncs_total").absolute(stats.resyncs);
    counter!("tombolo_kept_groups_sent_total").absolute(stats.kept_groups_sent);
    for (reason, count) in [
        ("duplicate", stats.dropped_duplicates),
        ("unknown_track", stats.dropped_unknown),
        ("frame", stats.dropped_frames),
        ("late_sound", stats.dropped_late),
    ] {
        counter!("tombolo_media_dropped_total", "reason" => reason).absolute(count);
    }
}

fn record_rtc(stats: &rtc::Stats) {
    set("tombolo_webrtc_legs", stats.legs);
    set("tombolo_webrtc_legs_connected", stats.connected);
    counter!("tombolo_webrtc_legs_failed_total").absolute(stats.failed);
    for (reason, count) in &stats.drops {
        counter!("tombolo_webrtc_dropped_total", "reason" => *reason).absolute(*count);
    }
}

fn record_port(stats: &PortStats) {
    counter!("tombolo_datagrams_total", "protocol" => "webrtc", "direction" => "in")
        .absolute(stats.webrtc_received);
    counter!("tombolo_datagrams_total", "protocol" => "webrtc", "direction" => "out")
        .absolute(stats.webrtc_sent);
    counter!("tombolo_datagrams_total", "protocol" => "quic", "direction" => "in")
        .absolute(stats.quic_received);
    for (reason, count) in [
        ("unknown_first_byte", stats.dropped_unknown),
        ("quic_overflow", stats.dropped_quic_overflow),
        ("send_buffer_full", stats.dropped_send_blocked),
    ] {
        counter!("tombolo_datagrams_dropped_total", "reason" => reason).absolute(count);
    }
}

fn record_quic(stats: MoqStats) {
    set("tombolo_quic_sessions", stats.open);
    counter!("tombolo_quic_sessions_total", "outcome" => "accepted").absolute(stats.accepted);
    counter!("tombolo_quic_sessions_total", "outcome" => "refused").absolute(stats.refused);
}
