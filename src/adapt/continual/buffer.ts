/** A memory of rows of tasks that are over, of a fixed size. */
import { GroupOrder } from "../../data/groups.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Stage, Stream } from "./contract.ts";
import { askRows } from "./outputs.ts";
import type { RowRef } from "./rows.ts";

/** Options of every method that keeps rows. */
export const BUFFER = {
  buffer: { type: "number.integer >= 0", default: 200, help: "rows that are kept of all tasks together", value: "K" },
  buffer_policy: {
    type: "'reservoir' | 'ring' | 'herding' | 'loss'",
    default: "reservoir",
    help: "which: every row seen is as likely, or as many of each class or task: the latest, those nearest to the mean, or those of the largest loss",
  },
} as const satisfies Options;

/** Of methods whose buffer may begin with rows of another stream. */
export const BUFFER_FROM = {
  buffer_from: {
    type: "string",
    help: "begin with the rows that an earlier run kept: the file OUT-buffer.jsonl beside its result",
    value: "FILE",
  },
} as const satisfies Options;

export type BufferValues = Values<typeof BUFFER>;

type BufferStream = Pick<
  Stream<BufferValues>,
  "values" | "rows" | "seed" | "tasks" | "model" | "batchSize" | "dry" | "signal"
>;

/** A vector of length 1, in float64; as it is where it has none. */
export function unit(values: ArrayLike<number>): Float64Array {
  const found = Float64Array.from(values);
  const length = Math.sqrt(found.reduce((sum, x) => sum + x * x, 0));
  return length === 0 ? found : found.map((x) => x / length);
}

/** The mean of vectors, in float64. */
export function meanOf(vectors: readonly ArrayLike<number>[]): Float64Array {
  const mean = new Float64Array(vectors[0]!.length);
  for (const vector of vectors) for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / vectors.length;
  return mean;
}

/**
 * Herding: one row after the other, each the one that brings the mean of those chosen nearest to the mean of all, over
 * features of length 1. Rebuffi et al., CVPR 2017, https://arxiv.org/abs/1611.07725, Algorithm 4.
 */
export function herded<T>(rows: readonly T[], features: readonly ArrayLike<number>[], count: number): T[] {
  const units = features.map(unit);
  const mean = meanOf(units);
  const sum = new Float64Array(mean.length);
  const left = new Set(rows.keys());
  const chosen: T[] = [];
  while (chosen.length < count && left.size > 0) {
    let best = { row: -1, distance: Number.POSITIVE_INFINITY };
    for (const row of left) {
      const distance = mean.reduce(
        (total, m, i) => total + (m - (sum[i]! + units[row]![i]!) / (chosen.length + 1)) ** 2,
        0,
      );
      if (distance < best.distance) best = { row, distance };
    }
    left.delete(best.row);
    chosen.push(rows[best.row]!);
    for (let i = 0; i < sum.length; i++) sum[i]! += units[best.row]![i]!;
  }
  return chosen;
}

/** `count` of these rows for the `index`-th time: all are given once before one comes again. */
export function drawRows(
  from: readonly RowRef[],
  { what, index, count, seed }: { what: string; index: number; count: number; seed: number },
): RowRef[] {
  const order = new GroupOrder(what, from.length, seed);
  return Array.from({ length: count }, (_, i) => from[order.at(index * count + i)]!);
}

export class MemoryBuffer {
  readonly #stream: BufferStream;
  #rows: RowRef[] = [];
  #seen = 0;

  constructor(stream: BufferStream) {
    this.#stream = stream;
  }

  /** A buffer that begins with the rows that --buffer-from names. Throws UserError. */
  static async begun(
    stream: BufferStream & Pick<Stream<BufferValues & Values<typeof BUFFER_FROM>>, "values" | "earlier">,
  ): Promise<MemoryBuffer> {
    const buffer = new MemoryBuffer(stream);
    const { buffer: most, buffer_from: file } = stream.values;
    if (file === undefined) return buffer;
    const { rows, seen } = await stream.earlier(file);
    if (rows.length > most)
      throw new UserError(
        `--buffer-from ${file} has ${rows.length} rows, and --buffer keeps ${most}`,
        `--buffer ${rows.length}`,
      );
    buffer.#rows = [...rows];
    buffer.#seen = seen;
    return buffer;
  }

  /** Rows that came by so far, where any is as likely to be kept; else those that are kept. */
  get seen(): number {
    return Math.max(this.#seen, this.#rows.length);
  }

  /** The rows that are kept, in a fixed order. */
  get rows(): readonly RowRef[] {
    return this.#rows;
  }

  /** The tasks that they are of, ascending. */
  get tasks(): number[] {
    return [...new Set(this.#rows.map(({ task }) => task))].sort((a, b) => a - b);
  }

  /** Those of one task. */
  of(task: number): readonly RowRef[] {
    return this.#rows.filter((ref) => ref.task === task);
  }

  /** Takes in the rows of a stage that is over, as the model that learnt them sees them. */
  async add({ tasks }: Pick<Stage, "tasks">): Promise<void> {
    const { rows, values } = this.#stream;
    const fresh = rows.of(tasks);
    if (values.buffer === 0) return;
    if (values.buffer_policy === "reservoir") for (const ref of fresh) this.#offer(ref);
    else this.#rows = await this.#shared(fresh);
  }

  /**
   * Reservoir sampling: the n-th row takes a random place with probability K / n. Vitter 1985,
   * https://doi.org/10.1145/3147.3165
   */
  #offer(ref: RowRef): void {
    const { values, seed } = this.#stream;
    this.#seen++;
    if (this.#rows.length < values.buffer) {
      this.#rows.push(ref);
      return;
    }
    const place = new Random(seed, "reservoir", this.#seen).below(this.#seen);
    if (place < values.buffer) this.#rows[place] = ref;
  }

  /**
   * As many rows of each class, or of each task; the earlier ones take the rest of K. The rows of a group are in the
   * order of their worth, so that a group that has to give rows up keeps its best.
   */
  async #shared(fresh: readonly RowRef[]): Promise<RowRef[]> {
    const { rows, values } = this.#stream;
    const groupOf = (ref: RowRef) => rows.labelOf(ref) ?? -1 - ref.task;
    const [kept, come] = [Map.groupBy(this.#rows, groupOf), Map.groupBy(fresh, groupOf)];
    const groups = [...new Set([...kept.keys(), ...come.keys()])];
    const [share, rest] = [Math.floor(values.buffer / groups.length), values.buffer % groups.length];
    const chosen: RowRef[] = [];
    for (const [i, group] of groups.entries()) {
      const size = share + (i < rest ? 1 : 0);
      const news = come.get(group) ?? [];
      const ranked = [...(await this.#ranked(news, Math.min(size, news.length))), ...(kept.get(group) ?? [])];
      // A class that came before and comes again keeps the new rows first.
      chosen.push(...ranked.slice(0, size));
    }
    return chosen;
  }

  /** The `count` best rows of a group that has just come, best first. */
  async #ranked(group: readonly RowRef[], count: number): Promise<RowRef[]> {
    const policy = this.#stream.values.buffer_policy;
    if (count === 0) return [];
    if (policy === "ring") return group.slice(-count).reverse();
    if (policy === "herding") return herded(group, await askRows(this.#stream, group, "features"), count);
    const losses = await askRows(this.#stream, group, "losses");
    const order = group.map((ref, i) => ({ ref, loss: losses[i]![0]! }));
    return order
      .sort((a, b) => b.loss - a.loss)
      .slice(0, count)
      .map(({ ref }) => ref);
  }

  draw(from: readonly RowRef[], what: string, index: number, count: number): RowRef[] {
    return drawRows(from, { what, index, count, seed: this.#stream.seed });
  }

  state(): Json {
    return { seen: this.#seen, rows: this.#rows.map(({ task, row }) => [task, row]) };
  }

  load(state: Json): void {
    const { seen, rows } = isObject(state) ? state : {};
    const isKnown = (ref: Json): ref is [number, number] => {
      const [task, row] = Array.isArray(ref) ? ref : [];
      if (typeof task !== "number" || typeof row !== "number" || !Number.isSafeInteger(row)) return false;
      return row >= 0 && row < (this.#stream.rows.tasks[task]?.rows.length ?? 0);
    };
    if (typeof seen !== "number" || !Array.isArray(rows) || !rows.every(isKnown))
      throw new UserError("the saved buffer does not fit the tasks", "resume with the data that the run began with");
    this.#seen = seen;
    this.#rows = rows.map(([task, row]) => ({ task, row }));
  }
}
