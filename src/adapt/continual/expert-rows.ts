/** Rows with the expert that learnt each last: a sample of those that came by, of a fixed size, even over classes. */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { Stream } from "./contract.ts";
import type { RowRef } from "./rows.ts";

interface Kept {
  readonly ref: RowRef;
  expert: number;
}

/** Of one class, or of a language model: the rows that are kept, and how many came by. */
interface ClassRows {
  rows: Kept[];
  seen: number;
}

export class ExpertRows {
  readonly #stream: Pick<Stream<unknown>, "rows" | "tasks" | "seed">;
  readonly #size: number;
  #classes = new Map<number, ClassRows>();

  constructor(stream: Pick<Stream<unknown>, "rows" | "tasks" | "seed">, size: number) {
    this.#stream = stream;
    this.#size = size;
  }

  /** In a fixed order. */
  get all(): readonly Readonly<Kept>[] {
    return [...this.#classes.values()].flatMap(({ rows }) => rows);
  }

  /** Hears that an expert learns a row: each of a class is kept with equal probability. Vitter 1985. */
  offer(ref: RowRef, expert: number): void {
    const label = this.#stream.rows.labelOf(ref) ?? -1;
    let own = this.#classes.get(label);
    if (!own) {
      own = { rows: [], seen: 0 };
      this.#classes.set(label, own);
      this.#shrink();
    }
    const known = own.rows.find((kept) => kept.ref.task === ref.task && kept.ref.row === ref.row);
    if (known) {
      known.expert = expert;
      return;
    }
    own.seen++;
    if (own.rows.length < this.#share) own.rows.push({ ref, expert });
    else {
      const place = this.#random(label, own.seen).below(own.seen);
      if (place < own.rows.length) own.rows[place] = { ref, expert };
    }
  }

  get #share(): number {
    return Math.floor(this.#size / this.#classes.size);
  }

  #random(label: number, seen: number): Random {
    return new Random(this.#stream.seed, "rows of experts", label, seen, this.#classes.size);
  }

  /** Makes room for another class: any row of a class goes, each as likely. */
  #shrink(): void {
    for (const [label, own] of this.#classes)
      while (own.rows.length > this.#share)
        own.rows.splice(this.#random(label, -own.rows.length).below(own.rows.length), 1);
  }

  state(): Json {
    return [...this.#classes].map(([label, { rows, seen }]) => ({
      ...{ label, seen },
      rows: rows.map(({ ref, expert }) => [ref.task, ref.row, expert]),
    }));
  }

  /** Throws UserError for rows that are not of these tasks. */
  load(state: Json): void {
    const saved = (state ?? []) as { label: number; seen: number; rows: [number, number, number][] }[];
    const isKnown = ([task, row]: readonly number[]) => row! < (this.#stream.tasks[task!]?.rows ?? 0);
    if (!Array.isArray(saved) || !saved.every(({ rows }) => Array.isArray(rows) && rows.every(isKnown)))
      throw new UserError(
        "the saved rows of experts do not fit the tasks",
        "resume with the data that the run began with",
      );
    this.#classes = new Map(
      saved.map(({ label, seen, rows }) => [
        label,
        { seen, rows: rows.map(([task, row, expert]) => ({ ref: { task, row }, expert })) },
      ]),
    );
  }
}
