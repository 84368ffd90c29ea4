//! What passes the interceptors that the connection's user added. Where there are none, nothing is copied.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tombolo_interceptors::registry::{PacketMut, Registry, Stretch, Verdict};
use tombolo_rtp::{ExtensionForm, RtpHeader};

use super::receive::keep;

/// How many bytes an interceptor can add to a payload.
const ROOM: usize = 64;

/// Shows a media packet that has its header and payload, but no extensions yet or any more; its payload afterwards, unless it
/// was dropped.
pub(super) fn media(
    registry: &mut Registry,
    shown: &mut Vec<u8>,
    header: &RtpHeader,
    payload: &[u8],
    pass: impl FnOnce(&mut Registry, &mut PacketMut<'_>) -> Verdict,
) -> Option<std::ops::Range<usize>> {
    shown.clear();
    header.write(shown, ExtensionForm::OneByte);
    let start = shown.len();
    shown.extend_from_slice(payload);
    let len = shown.len();
    shown.resize(len + ROOM, 0);
    let mut packet = PacketMut::parse(shown, len).ok()?;
    let passes = pass(registry, &mut packet) == Verdict::Pass;
    passes.then(|| start..packet.bytes().len())
}

/// Lets a media packet of the application pass; the payload to send, unless it was dropped.
pub(super) fn outgoing_media(
    registry: &mut Registry,
    shown: &mut Vec<u8>,
    arena: &mut BytesMut,
    now: Instant,
    header: &RtpHeader,
    payload: Bytes,
) -> Option<Bytes> {
    if !registry.has(Stretch::Media) {
        return Some(payload);
    }
    let range = media(registry, shown, header, &payload, |registry, packet| {
        registry.on_send(now, Stretch::Media, packet)
    })?;
    Some(keep(arena, &shown[range]))
}

/// Lets the packet that begins at `start` of `out` pass on its way to the wire. Nothing is left of one that was dropped.
pub(super) fn outgoing(registry: &mut Registry, now: Instant, out: &mut Vec<u8>, start: usize) {
    if !registry.has(Stretch::Wire) {
        return;
    }
    let end = out.len();
    out.resize(end + ROOM, 0);
    let end = match PacketMut::parse(&mut out[start..], end - start) {
        Ok(mut packet) => match registry.on_send(now, Stretch::Wire, &mut packet) {
            Verdict::Pass => start + packet.bytes().len(),
            Verdict::Drop => start,
        },
        Err(_) => end,
    };
    out.truncate(end);
}

/// Lets an opened packet pass; what is left of it, unless it was dropped. What is no packet is left to the parser.
pub(super) fn incoming<'a>(registry: &mut Registry, now: Instant, data: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut len = data.len();
    if registry.has(Stretch::Wire)
        && let Ok(mut packet) = PacketMut::parse(data, len)
    {
        match registry.on_receive(now, Stretch::Wire, &mut packet) {
            Verdict::Pass => len = packet.bytes().len(),
            Verdict::Drop => return None,
        }
    }
    Some(&data[..len])
}
