// One end of a direct call between two browsers: what the gateway's latency is compared with.
import { ViewMeter, type ViewMeasurements } from "../../../client/js/src/measure/view-meter.ts";
import { meterContext } from "../../../client/js/src/media/audio-context.ts";
import type { RemoteView } from "../../../client/js/src/types.ts";
import { testPicture, type TestPicture } from "../../../client/js/src/source.ts";
import { WebRtcView } from "../../../client/js/src/webrtc-view.ts";

declare global {
  interface Window {
    direct: {
      offer(options: TestPicture): Promise<string>;
      answer(sdp: string): Promise<string>;
      accept(sdp: string): Promise<void>;
      /** Measures the source without any network: what the instruments themselves add. */
      local(options: { flash?: boolean }): void;
      report(): ViewMeasurements | null;
      reset(): void;
    };
  }
}

const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
let meter: ViewMeter | null = null;

async function gathered(): Promise<string> {
  while (peer.iceGatheringState !== "complete") await new Promise((resolve) => peer.addEventListener("icegatheringstatechange", resolve, { once: true }));
  return peer.localDescription?.sdp ?? "";
}

window.direct = {
  async offer(picture) {
    const { stream } = testPicture(picture);
    for (const track of stream.getTracks()) peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    await peer.setLocalDescription();
    return gathered();
  },
  async answer(sdp) {
    const view = new WebRtcView("direct");
    document.body.append(view.element);
    meter = new ViewMeter(view, performance.now(), true);
    peer.ontrack = ({ track, receiver }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      if ("playoutDelayHint" in receiver) (receiver as { playoutDelayHint: number }).playoutDelayHint = 0;
      view.setReceiver(track.kind as "audio" | "video", receiver);
    };
    await peer.setRemoteDescription({ type: "offer", sdp });
    await peer.setLocalDescription();
    return gathered();
  },
  accept: (sdp) => peer.setRemoteDescription({ type: "answer", sdp }),
  local({ flash }) {
    const { stream } = testPicture({ flash });
    const { context } = meterContext();
    const node = context.createMediaStreamSource(stream);
    const video = document.createElement("video");
    video.muted = true;
    video.srcObject = stream;
    document.body.append(video);
    const view: RemoteView = {
      participant: "local",
      element: video,
      onPicture: null,
      audioTap: () => ({ context, node }),
      setMuted: () => undefined,
      figures: () => Promise.reject(new Error("a local picture has no figures")),
    };
    meter = new ViewMeter(view, performance.now(), true);
    const next = () => {
      video.requestVideoFrameCallback(next);
      view.onPicture?.(video, video.videoWidth, video.videoHeight);
    };
    video.requestVideoFrameCallback(next);
    void video.play();
  },
  report: () => meter?.measurements() ?? null,
  reset: () => meter?.reset(),
};
