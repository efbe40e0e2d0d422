/**
 * Requests to Dawn that are answered later, and the errors and losses that a device reports by itself.
 *
 * Dawn calls back while its events are processed, on this thread. Waiting spins for the length of a short kernel and
 * then sleeps, so that a software driver keeps its cores.
 */
import { JSCallback, type Pointer, read } from "bun:ffi";
import type { Arena } from "./arena.ts";
import type { Library } from "./library.ts";
import { own } from "./own.ts";
import { CALLBACK_INFO, copyText } from "./structs.ts";

/** WGPUCallbackMode: callbacks run while events are processed, never on another thread. */
export const ALLOW_PROCESS_EVENTS = 2;
/** The status of every request that succeeds. */
export const SUCCESS = 1;

const SPIN_MS = 0.2;
const SLEEP_MS = 1;

/** A WGPUStringView arrives in two registers; on Windows its address does. */
const MESSAGE = process.platform === "win32" ? (["ptr"] as const) : (["ptr", "u64"] as const);

function messageOf(parts: readonly (number | bigint)[]): string {
  const [address, bytes] = parts.map(Number) as [number, number?];
  return bytes === undefined ? copyText(read.ptr(address), Number(read.u64(address, 8))) : copyText(address, bytes);
}

/** What came of a request. */
export interface Answer {
  readonly status: number;
  /** The handle that was asked for, or the type of the error; 0 where the request has neither. */
  readonly value: number;
  readonly message: string;
}

/** Who hears what a device reports by itself. */
export interface DeviceListener {
  lost(reason: number, message: string): void;
  error(type: number, message: string): void;
}

/** What comes before the message in the callback of each kind of request. */
const REQUESTS = { map: ["u32"], scope: ["u32", "u32"], object: ["u32", "ptr"] } as const;
type Request = keyof typeof REQUESTS;

interface Waiter {
  settle(answer: Answer): void;
  /** What the native side may still point at. */
  readonly held: unknown;
}

export class Events {
  readonly #library: Library;
  readonly #instance: Pointer;
  readonly #arena: Arena;
  readonly #waiting = new Map<number, Waiter>();
  readonly #listeners = new Map<number, DeviceListener>();
  readonly #callbacks: Callbacks;
  #lastId = 0;
  #scheduled = false;
  #since = 0;

  /** Takes over the instance: it is released once nothing can process its events any more. */
  constructor(library: Library, instance: Pointer, arena: Arena) {
    this.#library = library;
    this.#instance = instance;
    this.#arena = arena;
    this.#callbacks = callbacksOf(this.#waiting, this.#listeners);
    own(this, instance, library.zwgpuInstanceRelease);
  }

  /**
   * Starts a request and waits for its answer. `start` gets the address of a WGPUCallbackInfo; `held` is kept until the
   * answer.
   */
  ask(kind: Request, start: (callbackInfo: Pointer) => void, held?: unknown): Promise<Answer> {
    return new Promise((settle) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { settle, held });
      this.#arena.frame(() => {
        // The callback gets the number back as an address, which nothing reads.
        const info = { mode: ALLOW_PROCESS_EVENTS, callback: this.#callbacks[kind].ptr, userdata1: id };
        start(this.#arena.pack(CALLBACK_INFO, info));
      });
      this.#schedule();
    });
  }

  /** Fields of a device's descriptor that have its losses and errors reported to `listener`. */
  listen(listener: DeviceListener) {
    const id = ++this.#lastId;
    this.#listeners.set(id, listener);
    return {
      lostMode: ALLOW_PROCESS_EVENTS,
      lostCallback: this.#callbacks.lost.ptr,
      lostUserdata1: id,
      errorCallback: this.#callbacks.error.ptr,
      errorUserdata1: id,
    };
  }

  /** Runs the callbacks of everything that has come to an end. */
  process(): void {
    this.#library.zwgpuInstanceProcessEvents(this.#instance);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#since ||= performance.now();
    const step = () => {
      this.#scheduled = false;
      this.process();
      if (this.#waiting.size > 0) this.#schedule();
      else this.#since = 0;
    };
    if (performance.now() - this.#since < SPIN_MS) setImmediate(step);
    else setTimeout(step, SLEEP_MS);
  }
}

type Callbacks = Readonly<Record<Request | "lost" | "error", JSCallback>>;

/** Native callbacks of one instance. They are never freed, so they must not hold the `Events` that they belong to. */
function callbacksOf(waiting: Map<number, Waiter>, listeners: Map<number, DeviceListener>): Callbacks {
  const answer = (id: number, [status = 0, value = 0]: readonly number[], message: string) => {
    const waiter = waiting.get(id);
    waiting.delete(id);
    waiter?.settle({ status, value, message });
  };
  const lost = (id: number, [, reason = 0]: readonly number[], message: string) => {
    const listener = listeners.get(id);
    listeners.delete(id); // nothing comes after it
    listener?.lost(reason, message);
  };
  return {
    map: callback(REQUESTS.map, answer),
    scope: callback(REQUESTS.scope, answer),
    object: callback(REQUESTS.object, answer),
    lost: callback(["ptr", "u32"], lost),
    error: callback(["ptr", "u32"], (id, [, type = 0], message) => listeners.get(id)?.error(type, message)),
  };
}

/** A native callback: some values, a message, and the number that was given as the first userdata. */
function callback(
  head: readonly ("u32" | "ptr")[],
  run: (id: number, values: readonly number[], message: string) => void,
): JSCallback {
  const tail = head.length + MESSAGE.length;
  return new JSCallback(
    (...args: (number | bigint)[]) =>
      run(Number(args[tail]), args.slice(0, head.length).map(Number), messageOf(args.slice(head.length, tail))),
    { args: [...head, ...MESSAGE, "ptr", "ptr"], returns: "void" },
  );
}
