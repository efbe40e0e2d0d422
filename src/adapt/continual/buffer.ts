/** A memory of rows of tasks that are over, of a fixed size. */
import { GroupOrder } from "../../data/groups.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Stage, Stream } from "./contract.ts";
import type { RowRef } from "./rows.ts";

/** Options of every method that keeps rows. */
export const BUFFER = {
  buffer: { type: "number.integer >= 0", default: 200, help: "rows that are kept of all tasks together", value: "K" },
  buffer_policy: {
    type: "'reservoir' | 'ring'",
    default: "reservoir",
    help: "which: every row seen is as likely, or the latest of each class (of each task for language models), as many",
  },
} as const satisfies Options;

export type BufferValues = Values<typeof BUFFER>;

type BufferStream = Pick<Stream<BufferValues>, "values" | "rows" | "seed" | "tasks">;

export class MemoryBuffer {
  readonly #stream: BufferStream;
  #rows: RowRef[] = [];
  #seen = 0;

  constructor(stream: BufferStream) {
    this.#stream = stream;
  }

  /** The rows that are kept, in a fixed order. */
  get rows(): readonly RowRef[] {
    return this.#rows;
  }

  /** Those of one task. */
  of(task: number): readonly RowRef[] {
    return this.#rows.filter((ref) => ref.task === task);
  }

  /** Takes in the rows of a stage that is over. */
  add({ tasks }: Pick<Stage, "tasks">): void {
    const { rows, values } = this.#stream;
    const fresh = rows.of(tasks);
    if (values.buffer === 0) return;
    if (values.buffer_policy === "ring") this.#rows = this.#ring([...this.#rows, ...fresh]);
    else for (const ref of fresh) this.#offer(ref);
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

  /** The latest rows of each class, or of each task, as many of each; the earlier ones take the rest of K. */
  #ring(all: readonly RowRef[]): RowRef[] {
    const { rows, values } = this.#stream;
    const groups = Map.groupBy(all, (ref) => rows.labelOf(ref) ?? -1 - ref.task);
    const [share, rest] = [Math.floor(values.buffer / groups.size), values.buffer % groups.size];
    return [...groups.values()].flatMap((group, i) => {
      const size = share + (i < rest ? 1 : 0);
      return size === 0 ? [] : group.slice(-size);
    });
  }

  /** `count` rows for the `index`-th time: all are given once before one comes again. */
  draw(from: readonly RowRef[], what: string, index: number, count: number): RowRef[] {
    const order = new GroupOrder(what, from.length, this.#stream.seed);
    return Array.from({ length: count }, (_, i) => from[order.at(index * count + i)]!);
  }

  state(): Json {
    return { seen: this.#seen, rows: this.#rows.map(({ task, row }) => [task, row]) };
  }

  load(state: Json): void {
    const { seen, rows } = (state ?? {}) as { seen?: number; rows?: [number, number][] };
    const isKnown = ([task, row]: [number, number]) => row < (this.#stream.tasks[task]?.rows ?? 0);
    if (!Number.isSafeInteger(seen) || !Array.isArray(rows) || !rows.every(isKnown))
      throw new UserError("the saved buffer does not fit the tasks", "resume with the data that the run began with");
    this.#seen = seen!;
    this.#rows = rows.map(([task, row]) => ({ task, row }));
  }
}
