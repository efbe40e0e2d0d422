/**
 * A share of the rows of data, held out by what they say: a keyed hash of a row decides its side. So a row is on the
 * same side whatever file, order or group it is in, equal rows are never on both, and a larger share holds out all that
 * a smaller one does.
 *
 * The key is the seed, the hash xxHash64 of the row's fields in order of their names. Fields that the form of a row
 * does not use (an id, a source) do not count.
 */
import fs from "node:fs";
import { UserError } from "../errors.ts";
import type { GroupReference } from "./groups.ts";
import { hashOf } from "./random.ts";
import type { Part } from "./read-rows.ts";
import type { LocatedRow, Row } from "./rows.ts";

/** The row's fields as text: keys sorted, lists of numbers as lists. */
function contentOf({ extra: _, ...content }: Row): string {
  return JSON.stringify(content, (_key, value) => {
    if (ArrayBuffer.isView(value)) return [...(value as Int32Array | Float32Array)];
    if (Object(value) !== value || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Whether a source can be read once only. */
const isStream = (ref: string): boolean =>
  !ref.startsWith("hf:") &&
  (ref === "-" || ref === "/dev/stdin" || fs.statSync(ref, { throwIfNoEntry: false })?.isFile() === false);

const EVAL_SPLIT = "--eval-split";

/** Divides groups of rows in two. Rows of a stream that are held out stay in memory from its one reading. */
export class Split {
  readonly #share: number;
  readonly #seed: number;
  readonly #flag: string;
  readonly #divided: GroupReference[] = [];

  /** `share` is in (0, 1); `flag` is the option that gave it. */
  constructor(share: number, seed: number, flag = EVAL_SPLIT) {
    [this.#share, this.#seed, this.#flag] = [share, seed, flag];
  }

  holdsOut(row: Row): boolean {
    return Number(hashOf(contentOf(row), BigInt(this.#seed)) >> 11n) < this.#share * 2 ** 53;
  }

  /** The groups without what is held out of them. */
  rest(groups: readonly GroupReference[]): GroupReference[] {
    return groups.map((group) => {
      const kept: LocatedRow[] | undefined = isStream(group.path) ? [] : undefined;
      this.#divided.push({ ...group, part: this.#part(group, true, kept) });
      return { ...group, part: this.#part(group, false, kept) };
    });
  }

  /** What is held out of the groups that were divided. */
  get heldOut(): readonly GroupReference[] {
    return this.#divided;
  }

  #part({ name }: GroupReference, isHeldOut: boolean, kept: LocatedRow[] | undefined): Part {
    return {
      key: `${isHeldOut ? "held out" : "rest"} ${this.#share} ${this.#seed}`,
      rows: isHeldOut && kept ? () => streamed(kept) : (all) => this.#filtered(all, name, isHeldOut, kept),
    };
  }

  async *#filtered(
    all: AsyncIterable<LocatedRow>,
    name: string,
    isHeldOut: boolean,
    kept: LocatedRow[] | undefined,
  ): AsyncGenerator<LocatedRow> {
    const counts = { rest: 0, heldOut: 0 };
    for await (const located of all) {
      const goes = this.holdsOut(located.row);
      if (goes) kept?.push(located);
      counts[goes ? "heldOut" : "rest"]++;
      if (goes === isHeldOut) yield located;
    }
    const { rest, heldOut } = counts;
    if (rest > 0 && heldOut > 0) return;
    const rows = `${rest + heldOut} ${rest + heldOut === 1 ? "row" : "rows"} of the group ${name}`;
    throw new UserError(
      heldOut === 0
        ? `${this.#flag} ${this.#share} holds out none of the ${rows}`
        : `${this.#flag} ${this.#share} holds out all ${rows}, and leaves none to train on`,
      `equal rows stay together; give another share, ${this.#flag === EVAL_SPLIT ? "more rows, or files of held-out rows with --eval-data" : "or more rows"}`,
    );
  }
}

async function* streamed(rows: readonly LocatedRow[]): AsyncGenerator<LocatedRow> {
  yield* rows;
}
