/** Reads what is newest of a track whose groups begin with a keyframe each. */

import type { Group, Track } from "@moq/net";

/**
 * Hands out frames as they come, with whether each is the first of its group, until the track ends. Once a group has begun, no frame
 * of an earlier one is handed out: a group keeps what it has received when it is closed, and between the pictures of a later
 * group that would spoil them all.
 */
export async function readNewestGroup(track: Track.Subscriber, onFrame: (payload: Uint8Array, first: boolean) => void): Promise<void> {
  let begun = Number.NEGATIVE_INFINITY;
  const read = async (group: Group.Consumer, previous: Group.Consumer | null) => {
    for (let index = 0; ; index++) {
      const frame = await group.readFrameSequence();
      // A hole in a group makes everything after it undecodable.
      if (frame?.sequence !== index || group.sequence < begun) break;
      if (index === 0) previous?.close();
      begun = group.sequence;
      onFrame(frame.payload, index === 0);
    }
    group.close();
  };
  let previous: Group.Consumer | null = null;
  for (let group = await track.nextGroup(); group; group = await track.nextGroup()) {
    // A group that the sender gives up is followed by a newer one.
    read(group, previous).catch(() => {});
    previous = group;
  }
}
