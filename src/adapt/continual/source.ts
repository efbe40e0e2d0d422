/**
 * The batches of one stage: new rows in the order of an epoch, old rows spread evenly among them, and beside them a
 * batch for each further part of the objective. Everything is a function of seed, epoch and batch, so a run resumes
 * with exactly the batches that it would have had.
 */
import { arraysIn } from "../../data/batch.ts";
import { BatchOrder, type OrderState } from "../../data/order.ts";
import { packFirstFit } from "../../data/pack.ts";
import { UserError } from "../../errors.ts";
import { type BatchSource, digestOf, type OrderChoice } from "../../run/training/batch-source.ts";
import type { Mix, Part, StageWork } from "./contract.ts";
import type { PartBatch, RowRef, StreamRows } from "./rows.ts";

/** The part of the objective that has the new rows, and those that are mixed in. */
export const NEW = "new";

/** A batch for each part of the objective. */
export type StreamBatch = Readonly<Record<string, PartBatch>>;

/** Which bins of rows come next. */
interface Plan {
  readonly batchesPerEpoch: number;
  next(): { readonly bins: readonly (readonly RowRef[])[]; readonly epoch: number; readonly batch: number };
  state(): OrderState;
  load(state: unknown, what: string): void;
}

export interface SourceOptions {
  readonly name: string;
  readonly rows: StreamRows;
  /** The new rows. */
  readonly fresh: readonly RowRef[];
  readonly order: OrderChoice;
  readonly mix?: Mix | undefined;
  readonly parts?: readonly Part[];
  /** Sees the batch of new rows before it is learnt. */
  readonly meet?: StageWork["meet"];
}

/** What rows hold, in few characters. */
export const contentDigest = (rows: StreamRows, refs: readonly RowRef[]): string =>
  digestOf(
    refs.flatMap((ref) => {
      const content = rows.contentOf(ref);
      if ("ids" in content) return content.labels === content.ids ? [content.ids] : [content.ids, content.labels];
      return [...arraysIn(content), Int32Array.of(content.label)];
    }),
  );

/** New rows alone, as training takes them. */
function freshPlan({ name, rows, fresh, order }: SourceOptions): Plan {
  const lengths = Int32Array.from(fresh, (ref) => rows.lengthOf(ref));
  const digest = contentDigest(rows, fresh);
  const plan = new BatchOrder({ ...order, groups: [{ name, lengths }], digest });
  return {
    batchesPerEpoch: plan.batchesPerEpoch,
    next() {
      const { bins, epoch, batch } = plan.next();
      return { bins: bins.map((bin) => bin.map((i) => fresh[i]!)), epoch, batch };
    },
    state: () => plan.state(),
    load: (state, what) => plan.load(state, what),
  };
}

/** Which of `total` rows in a row, from row `at` on, are old: `old` of them, spread evenly. */
export const oldBefore = (at: number, old: number, total: number): number => Math.floor((at * old) / total);

/** Where a plan with old rows stands. Throws UserError for a state that says nothing of it, or of other settings. */
function savedPlace(state: unknown, made_with: OrderState["made_with"], what: string) {
  const saved = state as Partial<OrderState> | null;
  if (!Number.isSafeInteger(saved?.epoch) || !Number.isSafeInteger(saved?.batch))
    throw new UserError(
      `${what} does not say which batch comes next`,
      "it is damaged, or was written by another version",
    );
  for (const [setting, now] of Object.entries(made_with))
    if (saved!.made_with?.[setting] !== now)
      throw new UserError(
        `${what} was saved with another ${setting}`,
        "resume with the data and the settings that the run began with",
      );
  return { epoch: saved!.epoch!, batch: saved!.batch! };
}

/** New rows with old ones among them: the new ones come in the order that they would have alone. */
function mixedPlan({ name, rows, fresh, order, mix }: SourceOptions): Plan {
  const { perPass, draw } = mix!;
  const total = fresh.length + perPass;
  const batches = Math.ceil(total / order.batchSize);
  // The order of the new rows is that of a run without old ones; it gives them one by one.
  const single = freshPlan({ name, rows, fresh, order: { ...order, batchSize: 1 } });
  let at = { epoch: 0, batch: 0 };
  const made_with = { ...single.state().made_with, "batch size": `${order.batchSize}`, "old rows": `${perPass}` };
  return {
    batchesPerEpoch: batches,
    next() {
      if (at.batch === batches) at = { epoch: at.epoch + 1, batch: 0 };
      const { epoch, batch } = at;
      const [from, to] = [batch * order.batchSize, Math.min(total, (batch + 1) * order.batchSize)];
      const [first, last] = [oldBefore(from, perPass, total), oldBefore(to, perPass, total)];
      const news = Array.from({ length: to - from - (last - first) }, () => single.next().bins[0]!);
      const olds = draw(epoch).slice(first, last);
      at = { epoch, batch: batch + 1 };
      return { bins: [...news, ...olds.map((ref) => [ref])], epoch, batch };
    },
    state: () => ({ made_with, ...at, drawn: [] }),
    load(state, what) {
      at = savedPlace(state, made_with, what);
      const done = at.batch * order.batchSize;
      const news = at.batch === batches ? fresh.length : done - oldBefore(done, perPass, total);
      single.load({ ...single.state(), epoch: at.epoch, batch: news }, what);
    },
  };
}

/** The same with several rows packed as one: those of a pass are laid one after the other, new and old. */
function packedPlan({ name, rows, fresh, order, mix }: SourceOptions, pack: number): Plan {
  const { perPass, draw } = mix!;
  const total = fresh.length + perPass;
  const single = freshPlan({ name, rows, fresh, order: { ...order, batchSize: 1, pack: undefined } });
  const binsOf = (epoch: number) => {
    single.load({ ...single.state(), epoch, batch: 0 }, name);
    const olds = draw(epoch);
    const refs = Array.from({ length: total }, (_, at) => {
      const place = oldBefore(at, perPass, total);
      return oldBefore(at + 1, perPass, total) > place ? olds[place]! : single.next().bins[0]![0]!;
    });
    const lengths = refs.map((ref) => rows.lengthOf(ref));
    return packFirstFit(lengths, pack).map((bin) => bin.map((i) => refs[i]!));
  };
  let [at, bins] = [{ epoch: 0, batch: 0 }, binsOf(0)];
  const batches = () => Math.ceil(bins.length / order.batchSize);
  const settings = { "batch size": `${order.batchSize}`, "old rows": `${perPass}`, packing: `to ${pack}` };
  const made_with = { ...single.state().made_with, ...settings };
  return {
    get batchesPerEpoch() {
      return batches();
    },
    next() {
      if (at.batch === batches()) {
        at = { epoch: at.epoch + 1, batch: 0 };
        bins = binsOf(at.epoch);
      }
      const { epoch, batch } = at;
      at = { epoch, batch: batch + 1 };
      return { bins: bins.slice(batch * order.batchSize, (batch + 1) * order.batchSize), epoch, batch };
    },
    state: () => ({ made_with, ...at, drawn: [] }),
    load(state, what) {
      at = savedPlace(state, made_with, what);
      bins = binsOf(at.epoch);
    },
  };
}

function planOf(options: SourceOptions): Plan {
  const { mix, order } = options;
  if (!mix || mix.perPass === 0) return freshPlan(options);
  return order.pack === undefined ? mixedPlan(options) : packedPlan(options, order.pack);
}

/** The batches of a stage. Throws UserError for a task without rows. */
export function stageSource(options: SourceOptions): BatchSource<StreamBatch> {
  const { name, rows, fresh, order, mix, parts = [] } = options;
  const plan = planOf(options);
  const tokens = fresh.reduce((sum, ref) => sum + rows.lengthOf(ref), 0);
  const isText = rows.tasks[fresh[0]!.task]!.kind === "text";
  return {
    groups: [{ name, rows: fresh.length, ...(isText ? { tokens } : {}) }],
    batchesPerEpoch: plan.batchesPerEpoch,
    largest() {
      const largest = rows.largest([...fresh, ...(mix?.from ?? [])]);
      const size = Math.min(order.batchSize, fresh.length + (mix?.perPass ?? 0));
      const beside = parts.map(({ name, draw, from }) => {
        const longest = rows.largest(from);
        return [name, rows.plain(draw(0, 0).map(() => longest))] as const;
      });
      return { [NEW]: largestOf(rows, largest, size, order.pack), ...Object.fromEntries(beside) };
    },
    async next() {
      const { bins, epoch, batch } = plan.next();
      const draw = `${name} ${epoch} ${batch}`;
      const place = epoch * plan.batchesPerEpoch + batch;
      const beside = parts.map((part) => [part.name, { ...rows.plain(part.draw(epoch, batch)), place }] as const);
      const news = { ...rows.batch(bins), draw, place };
      await options.meet?.(news);
      return { batch: { [NEW]: news, ...Object.fromEntries(beside) }, epoch };
    },
    state: () => plan.state(),
    load: (state, what) => plan.load(state, what),
  };
}

/** A batch of the largest shape: of the longest row, or of rows that are full of two. */
function largestOf(rows: StreamRows, longest: RowRef, size: number, pack: number | undefined): PartBatch {
  const plain = rows.plain(Array.from({ length: size }, () => longest));
  if (pack === undefined) return plain;
  return rows.packedLargest(longest, size, pack);
}
