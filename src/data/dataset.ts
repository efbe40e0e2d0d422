/**
 * Whole data sets: the groups of a run in memory, and batches of a stream that is never in memory as a whole.
 *
 * Training shuffles, so it holds its sequences: 4 bytes per token, 8 where some do not count. Those of large files are
 * on disk (token-cache.ts) and mapped into memory, so data may be larger than it. Evaluation in file order needs
 * `inBatches` only.
 */
import { UserError } from "../errors.ts";
import type { GroupReference } from "./groups.ts";
import { type ReadOptions, readRows } from "./read-rows.ts";
import type { Row } from "./rows.ts";
import { type EncodeOptions, encodeRow, type Sequence } from "./sequences.ts";
import { CachePlace } from "./token-cache.ts";
import type { RowsKept } from "./token-file.ts";

/** One group's share of a data set. */
export interface GroupCount {
  readonly name: string;
  readonly rows: number;
  /** As many as rows, or more where long rows are split. */
  readonly sequences: number;
  readonly tokens: number;
  /** Tokens whose label counts, without the first of each sequence, which nothing predicts. */
  readonly counted: number;
}

export interface SequenceData {
  /** All groups in order. */
  readonly sequences: readonly Sequence[];
  readonly groups: readonly (GroupCount & { readonly lengths: Int32Array })[];
}

/**
 * Reads and tokenizes groups. Throws UserError for the first row that does not fit, and for a group that counts no
 * token.
 */
export async function loadSequences(
  groups: readonly GroupReference[],
  options: Omit<EncodeOptions, "group"> & ReadOptions,
): Promise<SequenceData> {
  const sequences: Sequence[] = [];
  const loaded: (GroupCount & { lengths: Int32Array })[] = [];
  for (const [group, source] of groups.entries()) {
    const { name } = source;
    const { sequences: own, rows } = await readGroup(source, { ...options, group });
    let tokens = 0;
    let counted = 0;
    for (const sequence of own) {
      sequences.push(sequence);
      tokens += sequence.ids.length;
      counted += countedTokens(sequence);
    }
    if (counted === 0) {
      throw new UserError(
        `the group ${name} has ${tokens} tokens, and the loss would count none of them`,
        "labels are all -100, rows have a single token, or prompts fill --max-length: raise it",
      );
    }
    const lengths = Int32Array.from(own, ({ ids }) => ids.length);
    loaded.push({ name, rows, sequences: own.length, tokens, counted, lengths });
  }
  return { sequences, groups: loaded };
}

/** The sequences of one group: as an earlier run kept them, or from its rows. */
async function readGroup(
  source: GroupReference,
  options: EncodeOptions & ReadOptions,
): Promise<{ sequences: Sequence[]; rows: number }> {
  const place = await CachePlace.of(source, options);
  const { group = 0 } = options;
  const found = place?.read(group);
  if (found?.cut) options.cut?.(found.cut.place, found.cut.tokens);
  if (found) return found;
  const writer = place?.writer();
  const sequences: Sequence[] = [];
  let rows = 0;
  let cut: RowsKept["cut"];
  const isCut = (where: string, tokens: number) => {
    cut ??= { place: where, tokens };
    options.cut?.(where, tokens);
  };
  try {
    for await (const row of readRows(source, options)) {
      rows++;
      for (const sequence of encodeRow(row, { ...options, cut: isCut })) {
        if (writer) writer.add(sequence);
        else sequences.push(sequence);
      }
    }
    const isKept = writer && place!.keep(writer, { rows, cut });
    const kept = isKept ? place!.read(group) : undefined;
    if (kept) return kept;
  } catch (error) {
    // Without room on the disk the rows are read into memory.
    if (!writer || !["ENOSPC", "EDQUOT"].includes(`${(error as NodeJS.ErrnoException).code}`)) throw error;
  } finally {
    writer?.discard();
  }
  if (!writer) return { sequences, rows };
  const { cache: _, ...plain } = options;
  return readGroup(source, plain);
}

/** Tokens of a sequence that the loss counts. */
export function countedTokens({ labels }: Sequence): number {
  let counted = 0;
  for (let i = 1; i < labels.length; i++) if (labels[i]! >= 0) counted++;
  return counted;
}

/** A row for a classifier, and where it is from. */
export type Example = Extract<Row, { form: "example" }> & { readonly group: number; readonly place: string };

/** Reads groups of rows for a classifier. Throws UserError when a row is of another form or shape than the first. */
export async function loadExamples(groups: readonly GroupReference[], options: ReadOptions = {}): Promise<Example[]> {
  const examples: Example[] = [];
  for (const [group, source] of groups.entries()) {
    for await (const { row, place } of readRows(source, options)) {
      if (row.form !== "example") {
        throw new UserError(`${place}: expected x and label or image and label, found a row of ${row.form}`);
      }
      const shape = examples[0]?.shape ?? row.shape;
      if (shape.join() !== row.shape.join()) {
        throw new UserError(
          `${place}: the example is (${row.shape.join(", ")}), the first one is (${shape.join(", ")})`,
          "all examples of a data set have one shape",
        );
      }
      examples.push({ ...row, group, place });
    }
  }
  return examples;
}

/**
 * Throws UserError for a label or an example that a classifier of `classes` outputs and inputs of `shape` cannot
 * take.
 */
export function checkLabels(
  examples: readonly { label: number; shape: readonly number[]; place: string }[],
  classes: number,
  shape?: readonly number[],
): void {
  for (const { label, place, shape: found } of examples) {
    if (label >= classes)
      throw new UserError(
        `${place}: label ${label}, but the model has ${classes} classes`,
        "set num_labels in config.json",
      );
    const size = shape?.reduce((p, q) => p * q, 1);
    const fits = shape === undefined || found.join() === shape.join() || (found.length === 1 && found[0] === size);
    if (!fits)
      throw new UserError(`${place}: the example is (${found.join(", ")}); the model takes (${shape.join(", ")})`);
  }
}

/** Lists of `size` items in the order they come; the last one may be shorter, or is left out with `dropLast`. */
export async function* inBatches<T>(
  items: AsyncIterable<T> | Iterable<T>,
  size: number,
  dropLast = false,
): AsyncGenerator<T[]> {
  if (!(Number.isInteger(size) && size >= 1)) throw new RangeError(`batch size ${size}`);
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0 && !dropLast) yield batch;
}
