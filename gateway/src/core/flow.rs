//! What flows through a track: packets and frames in, packets and frames out, and the one made of the other.

use std::time::{Duration, Instant};

use rand_core::Rng as _;
use tombolo_net::{ExtSeqNo, NtpTime, RtpTime};

use super::ids::SubscriptionId;
use super::kept_group::Bound;
use super::lateness::Late;
use super::layer::Arrival;
use super::media::{Form, MediaFrame, MediaPacket};
use super::output::Output;
use super::payload::PayloadInfo;
use super::rewrite::LayerPacket;
use super::to_frames::ToFrames;
use super::to_packets::ToPackets;
use super::track::{Context, Track};

/// A frame that is no further behind is as new as there is any.
const NEWEST_LAG: Duration = Duration::from_millis(50);

/// Frames at shorter distances come in a rush: they were made some time ago.
const RUSH_DISTANCE: Duration = Duration::from_millis(12);

impl Track {
    // In: packets.

    pub(super) fn push_packet(&mut self, cx: &mut Context<'_>, index: usize, packet: MediaPacket) {
        let bounds = (cx.config.outage, cx.config.outage_packets);
        let Some(layer) = self.layers.get_mut(index).filter(|_| self.info.form == Form::Packets) else {
            cx.stats.dropped_unknown += 1;
            return;
        };
        let revived = !layer.is_active(cx.now, cx.config.layer_active);
        let seq = match layer.arrive(cx.now, packet.seq, packet.payload.len(), bounds) {
            Arrival::Duplicate => {
                cx.stats.dropped_duplicates += 1;
                return;
            }
            Arrival::Padding => {
                cx.stats.padding_in += 1;
                return;
            }
            Arrival::Regular(seq) => seq,
            Arrival::AfterOutage(seq) => {
                self.restart_layer(cx, index);
                seq
            }
        };
        let packet = MediaPacket { seq, ..packet };
        if revived {
            self.choose_layers(cx);
        }
        cx.stats.packets_in += 1;
        cx.stats.bytes_in += packet.payload.len() as u64;
        let video = self.is_video();
        let layer = &mut self.layers[index];
        let media_us = cx.clock.packet_us(&mut layer.clock, cx.now, packet.timestamp);
        let info = PayloadInfo::read(self.codec, &packet.payload);
        let capture = cx.clock.instant(media_us);
        let mut packet = LayerPacket { packet, info, keyframe: !video, capture, live: true };
        if video {
            layer.note_keyframe(cx.config, &mut packet);
            if packet.info.starts_keyframe {
                self.on_keyframe(cx, index);
            }
        }
        if let Some(to_frames) = &mut self.layers[index].to_frames {
            to_frames.push(cx.now, &packet);
        }
        self.deliver_packet(cx, index, packet);
        self.deliver_assembled(cx, index);
        self.ask_for_keyframes(cx);
    }

    /// The packets of a layer up to `last` that have not come will not come.
    pub(super) fn push_loss(&mut self, cx: &mut Context<'_>, index: usize, last: ExtSeqNo) {
        let Some(layer) = self.layers.get_mut(index) else {
            cx.stats.dropped_unknown += 1;
            return;
        };
        let last = layer.renumber(last);
        if let (Some(to_frames), Some(last)) = (&mut layer.to_frames, last) {
            to_frames.give_up_through(last);
            self.deliver_assembled(cx, index);
            self.ask_for_keyframes(cx);
        }
    }

    pub(super) fn sender_report(&mut self, cx: &mut Context<'_>, index: usize, ntp: NtpTime, rtp: RtpTime) {
        let Some(layer) = self.layers.get_mut(index).filter(|_| self.info.form == Form::Packets) else {
            cx.stats.dropped_unknown += 1;
            return;
        };
        if !cx.clock.sender_report(&mut layer.clock, cx.now, ntp, rtp) {
            cx.stats.rejected_sender_reports += 1;
        }
    }

    // In: frames.

    pub(super) fn push_frame(&mut self, cx: &mut Context<'_>, index: usize, frame: MediaFrame) {
        let video = self.is_video();
        let Some(layer) = self.layers.get_mut(index).filter(|_| self.info.form == Form::Frames) else {
            cx.stats.dropped_unknown += 1;
            return;
        };
        let bytes = frame.data.len();
        if bytes == 0 || bytes > cx.config.max_frame_bytes {
            cx.stats.dropped_frames += 1;
            self.push_gap(cx, index);
            return;
        }
        if video && layer.broken && !frame.keyframe {
            cx.stats.dropped_frames += 1;
            self.ask_for_keyframes(cx);
            return;
        }
        let revived = !layer.is_active(cx.now, cx.config.layer_active);
        let distance = layer.last_media.map_or(Duration::MAX, |last| cx.now.saturating_duration_since(last));
        layer.broken = false;
        layer.on_media(cx.now, bytes);
        cx.stats.frames_in += 1;
        cx.stats.bytes_in += bytes as u64;
        if revived {
            self.choose_layers(cx);
        }
        // A publisher that is subscribed to again first sends what it has of its group: nobody starts with that.
        let capture = cx.clock.frame_capture(cx.now, frame.media_time_us);
        let lag = cx.now.saturating_duration_since(capture);
        let late = self.layers[index].lateness.of(cx.now, lag, cx.config.late);
        let live = !video || late.by <= cx.config.late;
        if video && frame.keyframe && live {
            self.on_keyframe(cx, index);
            let layer = &mut self.layers[index];
            layer.budget.set_cost(cx.config, bytes, layer.rate());
        }
        self.deliver_frame(cx, index, &frame, live);
        self.deliver_packetized(cx, index, &frame, capture, late, live);
        // What comes at once is sent on at once: up to the newest frame, or to where the rush ends.
        if video && live && (late.by <= NEWEST_LAG || distance >= RUSH_DISTANCE) && !self.can_ask(index) {
            self.catch_up(cx, index);
        }
        self.ask_for_keyframes(cx);
    }

    /// Lets those who wait for a publisher that cannot be asked start with what is kept, now that it ends live.
    fn catch_up(&mut self, cx: &mut Context<'_>, index: usize) {
        let waits = |id: &SubscriptionId| {
            cx.subscriptions.get(id).is_some_and(|sub| sub.target == index && sub.waits() && !sub.resyncs)
        };
        let waiting: Vec<_> = self.subscribers().filter(waits).collect();
        for id in waiting {
            self.send_kept_group(cx, id);
        }
    }

    /// Frames of a layer were lost on their way in.
    pub(super) fn push_gap(&mut self, cx: &mut Context<'_>, index: usize) {
        if index < self.layers.len() {
            self.restart_layer(cx, index);
            self.ask_for_keyframes(cx);
        }
    }

    // Out.

    /// Sends a packet to the layer's packet subscribers, and keeps it where packets are kept.
    fn deliver_packet(&mut self, cx: &mut Context<'_>, index: usize, packet: LayerPacket) {
        self.keep_packet(cx, index, &packet);
        let video = self.is_video();
        let layer = &mut self.layers[index];
        let Context { subscriptions, outputs, stats, .. } = cx;
        for id in &self.packet_subscribers {
            if let Some(subscription) = subscriptions.get_mut(id) {
                subscription.offer_packet(index, &packet, &layer.recent, |output| {
                    if let Output::Packet { packet, .. } = &output {
                        stats.packets_out += 1;
                        stats.bytes_out += packet.payload_len() as u64;
                    }
                    outputs.push_back(output);
                });
            }
        }
        if video && !self.packet_subscribers.is_empty() {
            layer.remember(packet);
        }
    }

    fn keep_packet(&mut self, cx: &Context<'_>, index: usize, packet: &LayerPacket) {
        if !self.is_video() {
            return;
        }
        let bound = Bound { age: cx.config.kept_age, bytes: cx.config.kept_bytes };
        let can_ask = self.can_ask(index);
        let kept = &mut self.layers[index].kept_packets;
        if can_ask {
            // What was kept before would have a hole when it is kept again.
            kept.clear();
            return;
        }
        let bytes = packet.packet.payload.len();
        if packet.info.starts_keyframe {
            kept.begin(cx.now, bound, packet.clone(), bytes);
        } else {
            kept.push(cx.now, bound, packet.clone(), bytes);
        }
    }

    /// Sends a frame to the layer's frame subscribers, and keeps it where frames are kept.
    fn deliver_frame(&mut self, cx: &mut Context<'_>, index: usize, frame: &MediaFrame, live: bool) {
        self.keep_frame(cx, index, frame);
        let mut delivered = false;
        for id in &self.frame_subscribers {
            let subscription = cx.subscriptions.get_mut(id);
            if let Some(output) = subscription.and_then(|sub| sub.offer_frame(index, frame, live)) {
                cx.stats.frames_out += 1;
                cx.stats.bytes_out += frame.data.len() as u64;
                cx.outputs.push_back(output);
                delivered = true;
            }
        }
        let video = self.is_video();
        let layer = &mut self.layers[index];
        if frame.keyframe || !delivered {
            layer.group = None;
        }
        if !video || !delivered {
            return;
        }
        let (began, total) = layer.group.get_or_insert((cx.now, 0));
        *total += frame.data.len();
        // A group without an end would be held in memory by everybody downstream.
        let age = cx.now.saturating_duration_since(*began);
        if *total > cx.config.group_bytes || age > cx.config.group_age {
            layer.budget.want(cx.now);
        }
    }

    fn keep_frame(&mut self, cx: &Context<'_>, index: usize, frame: &MediaFrame) {
        if !self.is_video() {
            return;
        }
        let bound = Bound { age: cx.config.kept_age, bytes: cx.config.kept_bytes };
        let can_ask = self.can_ask(index);
        let kept = &mut self.layers[index].kept_frames;
        if can_ask {
            kept.clear();
            return;
        }
        if frame.keyframe {
            kept.begin(cx.now, bound, frame.clone(), frame.data.len());
        } else {
            kept.push(cx.now, bound, frame.clone(), frame.data.len());
        }
    }

    // The other form.

    /// Makes what `packets` and `frames` say that somebody wants of a layer and the publisher does not send, and no
    /// more. What is kept in the publisher's form is then kept in the other one as well.
    pub(super) fn derive(&mut self, cx: &mut Context<'_>, index: usize, packets: bool, frames: bool) {
        let layer = &mut self.layers[index];
        match self.info.form {
            Form::Packets if !frames => {
                layer.to_frames = None;
                layer.kept_frames.clear();
            }
            Form::Packets if layer.to_frames.is_none() => {
                layer.to_frames = Some(ToFrames::new(self.codec, cx.config));
                self.derive_kept_frames(cx, index);
            }
            Form::Frames if !packets => {
                layer.to_packets = None;
                layer.kept_packets.clear();
            }
            Form::Frames if layer.to_packets.is_none() => {
                let picture_id = cx.rng.next_u32() as u16;
                layer.to_packets = Some(ToPackets::new(self.codec, picture_id, cx.config.max_payload_bytes));
                self.derive_kept_packets(cx, index);
            }
            _ => {}
        }
    }

    fn derive_kept_frames(&mut self, cx: &Context<'_>, index: usize) {
        let layer = &mut self.layers[index];
        let Some(to_frames) = &mut layer.to_frames else {
            return;
        };
        for packet in layer.kept_packets.items() {
            to_frames.push(cx.now, packet);
        }
        let mut frames = Vec::new();
        while let Some(frame) = to_frames.pop() {
            let media_us = cx.clock.frame_us(&layer.clock, cx.now, frame.timestamp);
            let media_time_us = to_frames.tell_time(media_us);
            frames.push(MediaFrame { media_time_us, keyframe: frame.keyframe, data: frame.data });
        }
        layer.kept_frames.replace(frames, |frame| frame.data.len(), &layer.kept_packets);
    }

    fn derive_kept_packets(&mut self, cx: &mut Context<'_>, index: usize) {
        let layer = &mut self.layers[index];
        let Some(to_packets) = &mut layer.to_packets else {
            return;
        };
        let mut packets = Vec::new();
        for frame in layer.kept_frames.items() {
            let capture = cx.clock.frame_capture(cx.now, frame.media_time_us);
            packets.extend(to_packets.push(frame, capture, true, Duration::ZERO).into_iter().flatten());
        }
        layer.kept_packets.replace(packets, |packet| packet.packet.payload.len(), &layer.kept_frames);
    }

    /// Delivers the frames that the layer's packets have become.
    pub(super) fn deliver_assembled(&mut self, cx: &mut Context<'_>, index: usize) {
        loop {
            let layer = &mut self.layers[index];
            let Some(to_frames) = &mut layer.to_frames else {
                return;
            };
            let frame = to_frames.pop();
            if to_frames.take_loss() {
                self.lose_group(cx, index);
            }
            let layer = &mut self.layers[index];
            let Some(to_frames) = &mut layer.to_frames else {
                return;
            };
            let Some(frame) = frame else {
                if to_frames.give_up(cx.now) {
                    continue;
                }
                return;
            };
            let media_us = cx.clock.frame_us(&layer.clock, cx.now, frame.timestamp);
            let media_time_us = to_frames.tell_time(media_us);
            let frame = MediaFrame { media_time_us, keyframe: frame.keyframe, data: frame.data };
            self.deliver_frame(cx, index, &frame, true);
        }
    }

    /// Packets of a layer are lost for good: frame subscribers' group ends, and a keyframe is asked for.
    fn lose_group(&mut self, cx: &mut Context<'_>, index: usize) {
        cx.stats.gaps += 1;
        cx.stats.keyframes_wanted += 1;
        let layer = &mut self.layers[index];
        layer.kept_frames.clear();
        layer.group = None;
        layer.budget.want(cx.now);
        for &subscription in &self.frame_subscribers {
            if let Some(state) = cx.subscriptions.get_mut(&subscription)
                && state.current == Some(index)
            {
                state.current = None;
                cx.outputs.push_back(Output::GroupEnded { subscription });
            }
        }
    }

    /// Delivers the packets that a frame becomes: none, where it is sound of a backlog. They leave no hole in the numbering,
    /// so that nobody asks for it. Pictures of a backlog are told as of their arrival.
    fn deliver_packetized(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        frame: &MediaFrame,
        capture: Instant,
        late: Late,
        live: bool,
    ) {
        let video = self.is_video();
        let Some(to_packets) = &mut self.layers[index].to_packets else {
            return;
        };
        if late.backlog && !video {
            cx.stats.dropped_late += 1;
            return;
        }
        let later = if late.backlog { late.by } else { Duration::ZERO };
        match to_packets.push(frame, capture, live, later) {
            Ok(packets) => {
                for packet in packets {
                    self.deliver_packet(cx, index, packet);
                }
            }
            Err(_) => cx.stats.dropped_frames += 1,
        }
    }
}
