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
import type { LocatedRow } from "./rows.ts";
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
  const place = options.shown ? undefined : await CachePlace.of(source, options); // of rows as they are
  const { group = 0 } = options;
  const found = place?.read(group);
  if (found?.cut) options.cut?.(found.cut.place, found.cut.tokens);
  if (found) return found;
  const writer = place?.writer();
  const sequences: Sequence[] = [];
  let rows = 0;
  let cut: RowsKept["cut"];
  let isMarked = false; // marks of tokens and weights of rows are not kept
  const isCut = (where: string, tokens: number) => {
    cut ??= { place: where, tokens };
    options.cut?.(where, tokens);
  };
  try {
    for await (const row of readRows(source, options)) {
      rows++;
      for (const sequence of await sequencesOf(row, { ...options, cut: isCut })) {
        isMarked ||= sequence.marks !== undefined || sequence.weight !== undefined;
        if (writer) writer.add(sequence);
        else sequences.push(sequence);
      }
    }
    const isKept = writer && !isMarked && place!.keep(writer, { rows, cut });
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

/** The sequences of a row, in the first of its forms of which nothing is cut. */
async function sequencesOf(row: LocatedRow, options: EncodeOptions): Promise<Sequence[]> {
  if (!options.shown) return encodeRow(row, options);
  const { cut: _, ...silent } = options;
  for (const form of (await options.shown(row)).slice(0, -1)) {
    const found = encodeRow(form, { ...silent, overflow: "truncate" });
    if (!found.some(({ isCut }) => isCut)) return found;
  }
  return encodeRow(row, options);
}

/** Tokens of a sequence that the loss counts. */
export function countedTokens({ labels }: Sequence): number {
  let counted = 0;
  for (let i = 1; i < labels.length; i++) if (labels[i]! >= 0) counted++;
  return counted;
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
