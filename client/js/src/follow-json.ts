/** Reads a track of JSON values, over and over. */

/** How soon a track is read again after it has broken off. */
const AGAIN_MS = 250;

/** What is read of a subscription. */
export interface JsonTrack {
  /** The next value; `undefined` at the end. */
  readJson(): Promise<unknown>;
  close(): void;
}

/**
 * Gives each value to `onValue`. A group that was overtaken or lost ends a subscription, though more will come: as long as `goesOn`
 * says so, there is a next one, which begins with what is newest.
 */
export async function followJson(subscribe: () => JsonTrack, goesOn: () => boolean, onValue: (value: unknown) => void): Promise<void> {
  do {
    await readAll(subscribe, onValue).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  } while (goesOn());
}

async function readAll(subscribe: () => JsonTrack, onValue: (value: unknown) => void): Promise<void> {
  const track = subscribe();
  try {
    for (let value = await track.readJson(); value !== undefined; value = await track.readJson()) onValue(value);
  } finally {
    track.close();
  }
}
