/** What a page opens a queue with. What is left out has the defaults of the gateway. */
export interface OpenOptions {
  /** The broker's WebSocket listener: `wss://host[:port][/path]`, or `ws://` where the page did not come by https. */
  url: string;
  /** Name of the queue, which all tabs of an origin share: `[a-z0-9._-]`, 64 at most. Default: `mqttdb`. */
  name?: string;
  /** Default: made once, and stored with the queue. */
  clientId?: string;
  /** May be functions, which are called before each attempt to connect. */
  username?: string | (() => string | Promise<string>);
  password?: string | (() => string | Promise<string>);
  /**
   * `strict` (default): what is stored survives a power cut. `relaxed`: it survives the end
   * of the browser. `memory`: it survives nothing, and is said to be so.
   */
  durability?: 'strict' | 'relaxed' | 'memory';
  /** Bytes that each queue (outgoing, incoming) may hold. */
  maxBytes?: number;
  /** Messages that each queue may hold. */
  maxMessages?: number;
  /** Bytes of the largest payload; 4 MiB by default, 7 MiB at most. */
  maxMessageSize?: number;
  /** Milliseconds after which what was not sent expires. */
  maxAge?: number;
  /** At a limit: `reject` (default) makes `publish` fail with code `full`. */
  overflow?: 'reject' | 'drop_oldest' | 'drop_newest';
  /** Seconds; default 30. */
  keepAlive?: number;
  cleanSession?: boolean;
  /** Messages in flight; default 100. */
  window?: number;
  will?: Notice;
  birth?: Notice;
  closing?: Notice;
  /** Ask the browser not to evict what is stored (navigator.storage.persist). Default: true. */
  persist?: boolean;
  /** Default: true, where there are SharedWorkers. */
  sharedWorker?: boolean;
  /** URL of mqttdb.wasm.gz, if it is not served where mqttdb.js is. */
  wasm?: string | URL;
}

/** A message that is published on an occasion. */
export interface Notice {
  topic: string;
  payload?: string;
  qos?: 0 | 1 | 2;
  retain?: boolean;
}

export interface PublishOptions {
  /** Default: 1. */
  qos?: 0 | 1 | 2;
  retain?: boolean;
}

/** What a publisher has of a message that is stored. */
export interface Receipt {
  /** Its number in the queue; 0 if it had been stored before a Worker was lost, and the number is not known. */
  readonly seq: number;
  /**
   * Resolves when the broker has acknowledged the message; rejects with code
   * `not-delivered` if it left the queue otherwise. It is asked for when it is first read.
   */
  readonly delivered: Promise<void>;
}

export interface SubscribeOptions {
  /** Default: 1. */
  qos?: 0 | 1 | 2;
  /**
   * Makes the subscription durable: its messages are stored, also while no page is open
   * that has it, and come again until they are acknowledged. One page at a time has it;
   * others wait. Without a name: what comes while the page is there.
   */
  name?: string;
  /** Deliveries that may wait in the page; default 64. */
  window?: number;
  /** Milliseconds after which a delivery that was not answered comes again; default 30,000. */
  ackWait?: number;
}

/** A message from the broker. */
export interface Delivery {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Its number in the incoming queue; 0 without a name. */
  readonly seq: number;
  readonly accepted: Date;
  /** It may have been delivered before. */
  readonly redelivered: boolean;
  readonly attempt: number;
  text(): string;
  json(): any;
  /** It is done. */
  ack(): void;
  /** It is to come again. */
  nak(): void;
  /** It can never be taken: it is set aside. */
  term(): void;
}

export interface Subscription extends AsyncIterableIterator<Delivery> {
  /** Ends it here: what a named one has not got waits. Leaving a `for await` does this, too. */
  close(): Promise<void>;
  /** Ends it for good. */
  unsubscribe(): Promise<void>;
}

/** A status, as GET /api/connections of the gateway gives it, and what a browser adds. */
export interface Status {
  name: string;
  broker: string;
  state: 'offline' | 'connecting' | 'online' | 'stalled' | 'backoff' | 'paused' | 'refused';
  since: string;
  next_attempt: string | null;
  last_error: string;
  hint: string;
  outgoing: QueueStatus;
  incoming: QueueStatus;
  /** The browser may delete what is stored when it runs short of space. */
  evictable: boolean;
}

export interface QueueStatus {
  pending: number;
  bytes: number;
  in_flight: number;
  oldest: string | null;
  accepted: number;
  sent: number;
  dropped: number;
  expired: number;
  cleared: number;
  dead: number;
  quarantined: number;
  refused: number;
  dead_pending: number;
  duplicates_possible: boolean;
  full?: string;
  trouble?: string;
  [other: string]: unknown;
}

export interface ClearOptions {
  /** Default: `outgoing`. */
  queue?: 'outgoing' | 'incoming' | 'dead' | 'incoming_dead';
  /** A filter of topics. */
  topic?: string;
  /** Milliseconds: only what was stored before then. */
  olderThan?: number;
}

export interface Database {
  /** Resolves when the message is stored. */
  publish(topic: string, payload?: string | ArrayBuffer | ArrayBufferView | null, options?: PublishOptions): Promise<Receipt>;
  subscribe(filters: string | string[], options?: SubscribeOptions): Subscription;
  status(): Promise<Status>;
  /** Called with each new status, at most four times a second. */
  onstatus: ((status: Status) => void) | null;
  /** Forgets what is stored and not in flight; resolves with how many messages that were. */
  clear(options?: ClearOptions): Promise<number>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Resolves when all is sent. */
  drain(options?: { timeout?: number }): Promise<void>;
  /** Leaves the queue, once what was published is stored. What was not sent stays stored. */
  close(): Promise<void>;
}

/**
 * What fails has a code: `full` (a limit or the quota is reached), `too-large`, `invalid`,
 * `not-delivered`, `interrupted` (it may or may not be stored), `busy` (await `publish`),
 * `closed`, `timeout`, `settings`, `store`, `in-use`, `newer-format`, `superseded` (reload
 * the page), `insecure`, `failed`.
 */
export class MqttdbError extends Error {
  readonly code: string;
  /** What to do about it; "" where that is not known. */
  readonly hint: string;
}

/** Opens a queue; the broker need not be reachable. */
export function open(options: OpenOptions): Promise<Database>;
