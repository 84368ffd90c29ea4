/** The Tombolo client library: join a channel over WebRTC or WebTransport. */

export { setWorkletUrl, resumeAudio } from "./media/audio-context.ts";
export { Signaling } from "./signaling.ts";
export { camera, testPicture, type Source, type TestPicture } from "./source.ts";
export * from "./types.ts";
export { WebRtcSession } from "./webrtc.ts";
export { WebTransportSession } from "./webtransport.ts";
export { joinChannel, type JoinOptions } from "./join.ts";
