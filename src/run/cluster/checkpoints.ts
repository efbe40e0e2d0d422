/**
 * The state after a round, on the board: pieces that are known by their digests, and a signed list of them, which is
 * put there after them. Only then are older rounds and the checkpoint before removed, by a script that the server runs
 * as one: a crash at any moment leaves either the way to a state that was there before, or the new one.
 */
import { isObject, type Json, parseJson } from "../../json.ts";
import { type Board, type Entry, placeOf } from "./board.ts";
import { type Subject, sha256 } from "./envelope.ts";

/** Bytes of a piece. */
const PIECE = 2 ** 20;

/**
 * Removes what a checkpoint makes needless: rounds up to it, checkpoints before it, and what both hold beside them.
 * Does nothing and gives 0 where the checkpoint is not whole.
 *
 *   KEYS  checkpoints, rounds, chunks, then each chunk of the checkpoint
 *   ARGV  id of the checkpoint, its round, what keys of payloads and of chunks begin with
 */
const TRIM = `
local id, round, blob, chunk = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
if #redis.call('XRANGE', KEYS[1], id, id) == 0 then return 0 end
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then return 0 end
end
local function drop(key, last)
  for _, entry in ipairs(redis.call('XRANGE', key, '-', last)) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'b' then redis.call('UNLINK', blob .. entry[2][i + 1]) end
    end
    redis.call('XDEL', key, entry[1])
  end
end
drop(KEYS[2], id)
drop(KEYS[1], '(' .. id)
for _, name in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  if tonumber(string.match(name, '^%d+')) < round then
    redis.call('UNLINK', chunk .. name)
    redis.call('SREM', KEYS[3], name)
  end
end
return 1
`;

/** What a checkpoint is made of. */
interface Manifest {
  readonly round: number;
  /** Lengths of the state's parts. */
  readonly parts: readonly number[];
  /** Digests of the pieces in which all parts together were cut. */
  readonly chunks: readonly string[];
}

export interface Found {
  readonly round: number;
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
}

const idOf = (round: number): string => `${round}-0`;
const subjectOf = (id: string): Subject => ({ kind: "checkpoint", round: placeOf(id).round, task: 0, from: "" });
const sumOf = (lengths: readonly number[]): number => lengths.reduce((sum, length) => sum + length, 0);

/** All parts together in pieces of one size, the last of which may be shorter. */
function* piecesOf(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  let left = sumOf(parts.map(({ length }) => length));
  let piece = new Uint8Array(Math.min(PIECE, left));
  let filled = 0;
  for (const part of parts)
    for (let at = 0; at < part.length; ) {
      const some = part.subarray(at, at + piece.length - filled);
      piece.set(some, filled);
      at += some.length;
      filled += some.length;
      if (filled < piece.length) continue;
      yield piece;
      left -= filled;
      piece = new Uint8Array(Math.min(PIECE, left));
      filled = 0;
    }
}

/** Puts pieces, as they come, back into parts. */
class Filling {
  readonly parts: readonly Uint8Array[];
  #part = 0;
  #at = 0;

  constructor(lengths: readonly number[]) {
    this.parts = lengths.map((length) => new Uint8Array(length));
  }

  add(piece: Uint8Array): void {
    for (let from = 0; from < piece.length; ) {
      const part = this.parts[this.#part]!;
      const some = piece.subarray(from, from + part.length - this.#at);
      part.set(some, this.#at);
      from += some.length;
      this.#at += some.length;
      if (this.#at < part.length) continue;
      this.#part++;
      this.#at = 0;
    }
  }
}

const isCount = (value: Json): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isDigest = (value: Json): value is string => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);

/** Undefined for bytes that are no manifest. */
function manifestIn(round: number, bytes: Uint8Array): Manifest | undefined {
  const { value } = parseJson(new TextDecoder().decode(bytes), `the checkpoint of round ${round}`);
  if (!isObject(value)) return undefined;
  const { parts, chunks } = value;
  if (!Array.isArray(parts) || !parts.every(isCount) || !Array.isArray(chunks) || !chunks.every(isDigest))
    return undefined;
  return chunks.length === Math.ceil(sumOf(parts) / PIECE) ? { round, parts, chunks } : undefined;
}

export interface CheckpointEvents {
  refused(what: string, fault: string): void;
}

export class Checkpoints {
  readonly #board: Board;
  readonly #events: CheckpointEvents;
  /** What was told of already. */
  readonly #told = new Set<string>();

  constructor(board: Board, events: CheckpointEvents) {
    this.#board = board;
    this.#events = events;
  }

  #refuse(what: string, fault: string): void {
    if (this.#told.has(what)) return;
    this.#told.add(what);
    this.#events.refused(what, fault);
  }

  async #opened({ id, fields }: Entry): Promise<Manifest | { readonly fault: string }> {
    const opened = await this.#board.open(subjectOf(id), fields);
    if ("fault" in opened) return opened;
    return manifestIn(placeOf(id).round, opened.payload) ?? { fault: "it is no list of chunks" };
  }

  /** Manifests that are signed, the newest first; whether others are among them. */
  async #manifests(): Promise<{ readonly known: readonly Manifest[]; readonly refused: boolean }> {
    const known: Manifest[] = [];
    let refused = false;
    for (const entry of (await this.#board.range("checkpoints", "-", "+")).toReversed()) {
      const manifest = await this.#opened(entry);
      if (!("fault" in manifest)) known.push(manifest);
      else if (await this.#isThere(entry.id)) {
        refused = true;
        this.#refuse(`the checkpoint of round ${placeOf(entry.id).round}`, manifest.fault);
      }
    }
    return { known, refused };
  }

  async #isThere(id: string): Promise<boolean> {
    return (await this.#board.range("checkpoints", id, id)).length > 0;
  }

  /** Round of the newest checkpoint whose list is as the run signed it; 0 without one. */
  async newest(): Promise<number> {
    return (await this.#manifests()).known[0]?.round ?? 0;
  }

  /** The parts, or which piece is not what was written. */
  async #read({ round, parts, chunks }: Manifest): Promise<Found | { readonly what: string; readonly fault: string }> {
    const filling = new Filling(parts);
    for (const [i, digest] of chunks.entries()) {
      const what = `chunk ${i + 1} of ${chunks.length} of the checkpoint of round ${round}`;
      const piece = await this.#board.connection.get(this.#board.apart("chunk", `${round}-${digest}`));
      if (!piece) return { what, fault: "it is gone" };
      if (sha256(piece) !== digest) return { what, fault: "it was changed on the way" };
      filling.add(piece);
    }
    return { round, parts: filling.parts, bytes: sumOf(parts) };
  }

  /**
   * Reads the newest checkpoint of a later round that is whole. Undefined where there is none, "refused" where what
   * there is was changed, which is told.
   */
  async read(after: number): Promise<Found | "refused" | undefined> {
    for (;;) {
      const { known, refused } = await this.#manifests();
      const later = known.filter(({ round }) => round > after);
      let isOld = false;
      for (const manifest of later) {
        const found = await this.#read(manifest);
        if (!("fault" in found)) return found;
        isOld = !(await this.#isThere(idOf(manifest.round)));
        if (isOld) break; // a newer one took its place while it was read
        this.#refuse(found.what, found.fault);
      }
      if (!isOld) return later.length > 0 || refused ? "refused" : undefined;
    }
  }

  /** Writes pieces that are not there as they should be; `beat` is called between them. */
  async #write(round: number, parts: readonly Uint8Array[], beat: () => Promise<void>): Promise<Manifest> {
    const { connection } = this.#board;
    const chunks: string[] = [];
    for (const piece of piecesOf(parts)) {
      const digest = sha256(piece);
      const name = `${round}-${digest}`;
      await connection.send("SADD", this.#board.key("chunks"), name);
      await connection.put(this.#board.apart("chunk", name), piece);
      chunks.push(digest);
      await beat();
    }
    return { round, parts: parts.map(({ length }) => length), chunks };
  }

  /**
   * Puts the state after a round on the board and removes what it makes needless. Gives its bytes; undefined where a
   * newer one is there. Done again, by whomever, it changes nothing.
   */
  async publish(
    round: number,
    parts: readonly Uint8Array[],
    beat: () => Promise<void> = async () => {},
  ): Promise<number | undefined> {
    const refuse = (id: string, fault: string) => this.#refuse(`the checkpoint of round ${placeOf(id).round}`, fault);
    for (let attempt = 0; attempt < 8; attempt++) {
      const own = await this.#write(round, parts, beat);
      const text = new TextEncoder().encode(JSON.stringify({ parts: own.parts, chunks: own.chunks }));
      const fields = await this.#board.fields(subjectOf(idOf(round)), text);
      const entry = await this.#board.addOnce("checkpoints", idOf(round), fields, { subjectOf, refuse });
      if (!entry) {
        await this.#discard(own);
        return undefined;
      }
      const there = await this.#opened(entry);
      if (!("fault" in there) && (await this.#trim(there))) return sumOf(own.parts);
      // The server came back without some of it, or another's pieces of this round are gone.
      if ("fault" in there || String(there.chunks) !== String(own.chunks))
        await this.#board.connection.send("XDEL", this.#board.key("checkpoints"), entry.id);
    }
    throw new Error(`the checkpoint of round ${round} does not stay on the server`);
  }

  async #trim({ round, chunks }: Manifest): Promise<boolean> {
    const { connection } = this.#board;
    const own = chunks.map((digest) => this.#board.apart("chunk", `${round}-${digest}`));
    const keys = [...(["checkpoints", "rounds", "chunks"] as const).map((name) => this.#board.key(name)), ...own];
    const said = [idOf(round), round, this.#board.apart("blob"), this.#board.apart("chunk")];
    return (await connection.send("EVAL", TRIM, keys.length, ...keys, ...said)) === 1;
  }

  async #discard({ round, chunks }: Manifest): Promise<void> {
    for (const digest of chunks) {
      const name = `${round}-${digest}`;
      await this.#board.connection.send("UNLINK", this.#board.apart("chunk", name));
      await this.#board.connection.send("SREM", this.#board.key("chunks"), name);
    }
  }
}
