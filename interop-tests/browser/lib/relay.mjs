// A slow road between a browser and the gateway: UDP and TCP on one port, with a rate that can change, a delay, losses, and outages.
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";

/** Bytes that wait for the road; a datagram that finds the queue full is lost, as at a real bottleneck. */
const QUEUE_BYTES = 64_000;

/** One direction: a queue with a rate and a delay. */
class Road {
  #bitsPerMs;
  #delayMs;
  #freeAtMs = 0;
  #waiting = [];
  #timer = null;
  #queuedBytes = 0;
  /** The share of datagrams that is lost. */
  loss = 0;
  #random = 1;
  blocked = false;
  lost = 0;
  /** Bytes of datagrams that came through, with their headers. */
  passedBytes = 0;
  firstAfterMs = null;

  constructor(rateBps, delayMs) {
    this.setRate(rateBps);
    this.#delayMs = delayMs;
  }

  /** What waits already leaves as it would have. */
  setRate(rateBps) {
    this.#bitsPerMs = rateBps === null ? Number.POSITIVE_INFINITY : rateBps / 1000;
  }

  /** How long what waits takes to leave. */
  get waitingMs() {
    return Math.max(0, this.#freeAtMs - performance.now());
  }

  /** Delivers after the road's time; `reliable` data is never lost, only later. */
  send(bytes, deliver, reliable) {
    if (!reliable && (this.blocked || this.#queuedBytes + bytes > QUEUE_BYTES || this.#draw() < this.loss)) {
      this.lost += 1;
      return;
    }
    const now = performance.now();
    this.#queuedBytes += bytes;
    this.#freeAtMs = Math.max(now, this.#freeAtMs) + (bytes * 8) / this.#bitsPerMs;
    this.#waiting.push({ dueMs: this.#freeAtMs + this.#delayMs, bytes, deliver, reliable });
    this.#schedule();
  }

  /** From 0 to 1, the same in each run (Park and Miller). */
  #draw() {
    this.#random = (this.#random * 48_271) % 0x7fff_ffff;
    return this.#random / 0x7fff_ffff;
  }

  unblock() {
    this.blocked = false;
    this.firstAfterMs = null;
    this.#schedule();
  }

  close() {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }

  #schedule() {
    if (this.#timer !== null || this.#waiting.length === 0) return;
    const wait = this.#waiting[0].dueMs - performance.now();
    const run = () => {
      this.#timer = null;
      this.#run();
    };
    // Timers are whole milliseconds; what is due within half of one goes now.
    this.#timer = setTimeout(run, Math.max(0, Math.round(wait)));
  }

  #run() {
    const now = performance.now() + 0.5;
    while (this.#waiting.length > 0 && this.#waiting[0].dueMs <= now) {
      if (this.blocked && this.#waiting[0].reliable) {
        this.#timer = setTimeout(() => {
          this.#timer = null;
          this.#run();
        }, 20);
        return;
      }
      const { bytes, deliver, reliable } = this.#waiting.shift();
      this.#queuedBytes -= bytes;
      if (this.blocked) {
        this.lost += 1;
        continue;
      }
      if (!reliable) {
        this.firstAfterMs ??= Date.now();
        this.passedBytes += bytes;
      }
      deliver();
    }
    this.#schedule();
  }
}

/** Opens a relay to `port` of `host`. `rateBps` null is unlimited; `delayMs` is one way. */
export async function openRelay(port, { rateBps = null, delayMs = 0, host = "127.0.0.1" } = {}) {
  const up = new Road(rateBps, delayMs);
  const down = new Road(rateBps, delayMs);
  const tcp = createServer((client) => pipe(client, connect(port, host), up, down));
  await new Promise((resolve) => tcp.listen(0, "127.0.0.1", resolve));
  const udp = createSocket("udp4");
  await new Promise((resolve) => udp.bind(tcp.address().port, resolve));
  udp.setRecvBufferSize(1 << 20);
  const clients = new Map();
  udp.on("message", (data, { address, port: from }) => {
    // A browser that has more than one address may send from another one than the relay's.
    const client = `${address}:${from}`;
    let socket = clients.get(client);
    if (!socket) {
      socket = createSocket("udp4");
      clients.set(client, socket);
      socket.connect(port, host);
      // A gateway that has stopped answers with a refusal; the road just goes nowhere then.
      socket.on("error", () => undefined);
      socket.on("message", (answer) => down.send(answer.length + 28, () => udp.send(answer, from, address), false));
    }
    up.send(data.length + 28, () => socket.send(data, () => undefined), false);
  });
  return {
    port: tcp.address().port,
    origin: `http://127.0.0.1:${tcp.address().port}`,
    /** Lets nothing through for `ms`; settles at its end. */
    outage: async (ms) => {
      up.blocked = down.blocked = true;
      await new Promise((resolve) => setTimeout(resolve, ms));
      up.unblock();
      down.unblock();
    },
    /** When the first datagram came through after the last outage, on the wall clock, upwards and downwards. */
    firstAfterOutage: () => ({ up: up.firstAfterMs, down: down.firstAfterMs }),
    lost: () => up.lost + down.lost,
    /** Loses this share of the datagrams to the browser. */
    loseDown: (share) => {
      down.loss = share;
    },
    /** Changes the rate of both directions. */
    setRate: (rateBps) => [up, down].forEach((road) => road.setRate(rateBps)),
    /** How the way up is used: bytes that came through and datagrams that were lost so far, and how long what waits now takes. */
    upwards: () => ({ bytes: up.passedBytes, lost: up.lost, waitingMs: up.waitingMs }),
    close: async () => {
      up.close();
      down.close();
      udp.close();
      for (const socket of clients.values()) socket.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
}

const sockets = new Set();

function pipe(client, server, up, down) {
  for (const socket of [client, server]) {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }
  forward(client, server, up);
  forward(server, client, down);
}

function forward(from, to, road) {
  from.on("data", (data) => road.send(data.length, () => to.writable && to.write(data), true));
  from.on("end", () => road.send(0, () => to.end(), true));
  from.on("close", () => road.send(0, () => to.destroy(), true));
}

/** Makes a page's WebRTC go to the relay too: ICE candidates in answers name the gateway's own port. */
export async function reroute(page, gatewayPort, relayPort) {
  await page.evaluateOnNewDocument(
    (from, to) => {
      const original = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function (description) {
        const sdp = description.sdp.replaceAll(` ${from} typ host`, ` ${to} typ host`);
        return original.call(this, { type: description.type, sdp });
      };
    },
    gatewayPort,
    relayPort,
  );
}
