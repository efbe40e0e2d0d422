/**
 * Where a run's messages are on the server. All that a run is stands here, and each message is known by what it is of:
 * a second delivery of any changes nothing.
 *
 *   PREFIX:settings  what all must agree on, and the run's nonce
 *   PREFIX:tasks     stream ROUND-PLACE; consumer group `workers`
 *   PREFIX:answers   stream, read from its beginning by whoever hands tasks out
 *   PREFIX:rounds    stream ROUND-0: the answers of every round that is over
 *   PREFIX:words     hash: when each was last heard, in the server's milliseconds
 *   PREFIX:blob:SHA  payloads that are too long for a message, known by their digest
 *
 * Rounds up to a checkpoint are removed once it is whole (checkpoints.ts):
 *
 *   PREFIX:checkpoints      stream ROUND-0: of which chunks the state after a round is
 *   PREFIX:chunk:ROUND-SHA  pieces of a state
 *   PREFIX:chunks           set: ROUND-SHA of every piece, from before it is written
 */
import { type Connection, Refusal } from "./connection.ts";
import { type Fields, type Seal, type Subject, sha256 } from "./envelope.ts";

/** Longer payloads, in bytes, are kept apart. */
const INLINE = 8192;

/** A message as it is on a stream. */
export interface Entry {
  readonly id: string;
  readonly fields: Fields;
}

/** What a message says, or why it is refused. */
export type Opened = { readonly payload: Uint8Array } | { readonly fault: string };

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

/** Entries of a stream as the server gives them: [id, [name, value, ...]]. */
function entriesIn(value: unknown): Entry[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown) => {
    if (!Array.isArray(one) || typeof one[0] !== "string") return [];
    const flat: unknown = one[1];
    if (!isTexts(flat)) return [{ id: one[0], fields: {} }]; // deleted while it was pending
    const pairs = flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? ""] as const] : []));
    return [{ id: one[0], fields: Object.fromEntries(pairs) }];
  });
}

type Stream = "tasks" | "rounds" | "checkpoints";

/** Sets the last id of a stream (KEYS[1]) to ARGV[2], where it is ARGV[1] still. */
const REWIND = `
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' and info[i + 1] == ARGV[1] then redis.call('XSETID', KEYS[1], ARGV[2]) end
end
return 1
`;

/** What may stand in the way of a message that is added once. */
export interface Adding {
  subjectOf(id: string): Subject;
  /** Hears of each entry in the way that was not made by the run. */
  refuse(id: string, fault: string): void;
  /** Whether the message was there, and was removed as what came after it made it needless. */
  isOver?(): Promise<boolean>;
}

/** Entries of the one stream of a reply to XREAD and XREADGROUP. */
function entriesOf(reply: unknown): Entry[] {
  if (typeof reply !== "object" || reply === null) return [];
  return Object.values(reply).flatMap(entriesIn);
}

/** Round and place of an id. */
export function placeOf(id: string): { round: number; place: number } {
  const [round = "", place = ""] = id.split("-");
  return { round: Number(round), place: Number(place) };
}

export class Board {
  readonly connection: Connection;
  readonly #prefix: string;
  #seal: Seal | undefined;

  constructor(connection: Connection, run: string) {
    this.connection = connection;
    this.#prefix = `ingot:${run}`;
  }

  get seal(): Seal {
    if (!this.#seal) throw new Error("the run's settings are not known yet");
    return this.#seal;
  }
  set seal(seal: Seal) {
    this.#seal = seal;
  }

  key(name: "settings" | "tasks" | "answers" | "rounds" | "words" | "checkpoints" | "chunks"): string {
    return `${this.#prefix}:${name}`;
  }

  /** Key of a payload that is kept apart, or what all such keys begin with. */
  apart(kind: "blob" | "chunk", name = ""): string {
    return `${this.#prefix}:${kind}:${name}`;
  }

  /** The fields of a message; a long payload is put beside it. */
  async fields(subject: Subject, payload: Uint8Array): Promise<string[]> {
    const signature = this.seal.sign(subject, payload);
    const from = subject.from === "" ? [] : ["w", subject.from];
    if (payload.length <= INLINE) {
      const text = payload.length === 0 ? [] : ["p", Buffer.from(payload).toString("base64")];
      return [...from, ...text, "s", signature];
    }
    const digest = sha256(payload);
    await this.connection.put(this.apart("blob", digest), payload);
    return [...from, "b", digest, "s", signature];
  }

  /** Checks what a message says of a subject. */
  async open(subject: Subject, { p, b, s }: Fields): Promise<Opened> {
    let payload: Uint8Array = Buffer.from(p ?? "", "base64");
    if (b !== undefined) {
      const found = await this.connection.get(this.apart("blob", b));
      if (!found) return { fault: "what it holds is gone" };
      payload = found;
    }
    const fault = this.seal.fault(subject, payload, s);
    return fault === undefined ? { payload } : { fault };
  }

  /** Removes what a message holds beside it. */
  async drop({ b }: Fields): Promise<void> {
    if (b !== undefined) await this.connection.send("DEL", this.apart("blob", b));
  }

  async groups(): Promise<void> {
    try {
      await this.connection.send("XGROUP", "CREATE", this.key("tasks"), "workers", "0", "MKSTREAM");
    } catch (error) {
      if (!(error instanceof Refusal) || !error.message.startsWith("BUSYGROUP")) throw error;
    }
  }

  async range(stream: Stream, from: string, to: string, count = 1000): Promise<Entry[]> {
    return entriesIn(await this.connection.send("XRANGE", this.key(stream), from, to, "COUNT", count));
  }

  /** The last id that a stream ever had, also where its entry is removed; "0-0" where there is no stream. */
  async lastId(stream: Stream): Promise<string> {
    try {
      const reply = await this.connection.send("XINFO", "STREAM", this.key(stream));
      const last: unknown = typeof reply === "object" && reply !== null ? Reflect.get(reply, "last-generated-id") : "";
      return String(last);
    } catch (error) {
      if (error instanceof Refusal) return "0-0";
      throw error;
    }
  }

  /**
   * Adds a message whose id says what it is of. What stands in its way and was not made by the run is removed. Gives
   * the message that is there in the end; undefined where the run is further than this message.
   */
  async addOnce(stream: Stream, id: string, fields: readonly string[], adding: Adding): Promise<Entry | undefined> {
    const key = this.key(stream);
    for (let attempt = 0; ; attempt++) {
      try {
        await this.connection.send("XADD", key, id, ...fields);
        const [added] = await this.range(stream, id, id);
        if (added) return added;
      } catch (error) {
        if (!(error instanceof Refusal) || !error.message.includes("equal or smaller") || attempt > 32) throw error;
      }
      const highest = await this.lastId(stream);
      let last = "0-0";
      for (const entry of await this.range(stream, "-", "+", 100_000)) {
        const opened = await this.open(adding.subjectOf(entry.id), entry.fields);
        if ("fault" in opened) {
          adding.refuse(entry.id, opened.fault);
          await this.connection.send("XDEL", key, entry.id);
        } else if (entry.id === id) return entry;
        else last = entry.id;
      }
      if (isAfter(last, id) || (await adding.isOver?.())) return undefined;
      const { round, place } = placeOf(id);
      const before = place > 0 ? `${round}-${place - 1}` : `${round - 1}-9999999`;
      const top = isAfter(before, last) ? before : last;
      await this.connection.send("EVAL", REWIND, 1, key, highest, top);
      if (stream === "tasks") await this.connection.send("XGROUP", "SETID", key, "workers", before);
    }
  }

  /** Answers after an id; waits for some, for so many milliseconds. */
  async answers(after: string, block: number): Promise<Entry[]> {
    const wait = ["BLOCK", Math.ceil(block)] as const;
    return entriesOf(await this.connection.send("XREAD", "COUNT", 64, ...wait, "STREAMS", this.key("answers"), after));
  }

  async removeAnswer(id: string): Promise<void> {
    await this.connection.send("XDEL", this.key("answers"), id);
  }

  /** A task that is given to `as`: one that was given before and not done, or a new one, for which it waits. */
  async task(as: string, which: "given" | "new", block: number): Promise<Entry[]> {
    const wait = which === "new" ? ["BLOCK", Math.ceil(block)] : [];
    const from = which === "new" ? ">" : "0";
    const key = this.key("tasks");
    try {
      const group = ["GROUP", "workers", as] as const;
      return entriesOf(await this.connection.send("XREADGROUP", ...group, "COUNT", 1, ...wait, "STREAMS", key, from));
    } catch (error) {
      if (!(error instanceof Refusal) || !error.message.startsWith("NOGROUP")) throw error;
      await this.groups();
      return [];
    }
  }

  /** Takes a task over from a worker that has held it for so many milliseconds. */
  async takeOver(as: string, idle: number): Promise<Entry[]> {
    const reply = await this.connection.send(
      ...(["XAUTOCLAIM", this.key("tasks"), "workers", as, Math.ceil(idle), "0", "COUNT", 1] as const),
    );
    return Array.isArray(reply) ? entriesIn(reply[1]) : [];
  }

  async taskDone(id: string): Promise<void> {
    await this.connection.send("XACK", this.key("tasks"), "workers", id);
  }

  /** The server's clock, in milliseconds. */
  async now(): Promise<number> {
    const [seconds = "0", micros = "0"] = await this.connection
      .send("TIME")
      .then((found) => (isTexts(found) ? found : []));
    return 1000 * Number(seconds) + Math.floor(Number(micros) / 1000);
  }

  /** Leaves word that someone is there. */
  async word(from: string): Promise<void> {
    const text = `${await this.now()}`;
    const signature = this.seal.sign({ kind: "word", round: 0, task: 0, from }, Buffer.from(text));
    await this.connection.send("HSET", this.key("words"), from, `${text} ${signature}`);
  }

  /** When each was last heard; words that are not signed by the run have a fault. */
  async words(): Promise<Map<string, number | { fault: string }>> {
    const reply = await this.connection.send("HGETALL", this.key("words"));
    const found = new Map<string, number | { fault: string }>();
    for (const [from, value] of Object.entries(typeof reply === "object" && reply !== null ? reply : {})) {
      const [time = "", signature] = String(value).split(" ");
      const fault = this.seal.fault({ kind: "word", round: 0, task: 0, from }, Buffer.from(time), signature);
      found.set(from, fault === undefined ? Number(time) : { fault });
    }
    return found;
  }

  async forget(from: string): Promise<void> {
    await this.connection.send("HDEL", this.key("words"), from);
  }
}

/** Whether one id of a stream is after another. */
export function isAfter(one: string, other: string): boolean {
  const [a, b] = [placeOf(one), placeOf(other)];
  return a.round > b.round || (a.round === b.round && a.place > b.place);
}
