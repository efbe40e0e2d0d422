/**
 * Batches: rows of tokens for a language model, or of examples for a classifier, behind one type.
 *
 * Sequences become a rectangle of tokens: one row per bin of sequences, padded on the right to one of a few lengths,
 * because the engine keeps one program per shape. Padding has label -100, segment 0 and position 0. Segments (1, 2,
 * ...) separate sequences that share a row, and positions restart with each sequence. The first token of a sequence
 * has label -100, because nothing precedes it; so a plain shift by one never scores it from the end of the sequence
 * before.
 */
import { IGNORED } from "./rows.ts";
import type { Sequence } from "./sequences.ts";
import type { Sentences } from "./tokenization/sentence-template.ts";

/** What every batch has. */
interface Rows {
  /** B */
  readonly rows: number;
  /** T, positions of a row: tokens with padding, or 1 for an example. The N of its programs is rows * length. */
  readonly length: number;
  /** Positions that the loss counts. */
  readonly counted: number;
  /** (B) the position of each row's group among the groups of data; -1 of a row that holds several. */
  readonly tasks: Int32Array;
  /** (N, C): what is added to what the first block reads, of texts that are moved against a model. */
  readonly moves?: Float32Array;
}

/**
 * Tokens or examples. Code that treats both alike needs no more than `rows`, `length`, `counted` and the functions
 * below.
 */
export type Batch = TokenBatch | ExampleBatch;

/** A batch for a language model. */
export interface TokenBatch extends Rows {
  /** (B, T) each. */
  readonly ids: Int32Array;
  readonly labels: Int32Array;
  readonly segments: Int32Array;
  readonly positions: Int32Array;
  /** (B) tokens of each row without padding. */
  readonly lengths: Int32Array;
  /** Whether some row holds more than one sequence. */
  readonly packed: boolean;
  /** Every sequence, and where it lies. */
  readonly documents: readonly { readonly sequence: Sequence; readonly row: number; readonly start: number }[];
}

export interface CollateOptions {
  /** Id that fills up; 0 when left out. It is never counted. */
  pad?: number;
  /** Lengths that rows may be padded to, ascending; "none" pads to the longest; when left out, see `bucketLength`. */
  buckets?: readonly number[] | "none";
}

/**
 * Makes a batch of bins of sequences. Throws RangeError when it is empty, or a row is longer than the largest bucket.
 */
export function collate(bins: readonly (readonly Sequence[])[], { pad = 0, buckets }: CollateOptions = {}): TokenBatch {
  if (bins.length === 0) throw new RangeError("a batch needs at least one row");
  const rows = bins.length;
  const lengths = Int32Array.from(bins, (bin) => bin.reduce((sum, { ids }) => sum + ids.length, 0));
  const longest = lengths.reduce((a, b) => Math.max(a, b), 1);
  const length = buckets === "none" ? longest : bucketLength(longest, buckets);
  const ids = new Int32Array(rows * length).fill(pad); // (B, T)
  const labels = new Int32Array(rows * length).fill(IGNORED); // (B, T)
  const segments = new Int32Array(rows * length); // (B, T)
  const positions = new Int32Array(rows * length); // (B, T)
  const documents: { sequence: Sequence; row: number; start: number }[] = [];
  let counted = 0;
  for (const [row, bin] of bins.entries()) {
    let start = 0;
    for (const [segment, sequence] of bin.entries()) {
      const at = row * length + start;
      ids.set(sequence.ids, at);
      labels.set(sequence.labels, at);
      labels[at] = IGNORED;
      for (let i = 0; i < sequence.ids.length; i++) {
        segments[at + i] = segment + 1;
        positions[at + i] = i;
        if (labels[at + i] !== IGNORED) counted++;
      }
      documents.push({ sequence, row, start });
      start += sequence.ids.length;
    }
  }
  const packed = bins.some((bin) => bin.length > 1);
  const taskOf = ([first, ...more]: readonly Sequence[]) =>
    more.every(({ group }) => group === first?.group) ? (first?.group ?? 0) : -1;
  const tasks = Int32Array.from(bins, taskOf);
  return { rows, length, ids, labels, segments, positions, lengths, packed, counted, documents, tasks };
}

/**
 * The least bucket of at least `length`. Without a list: 16, 24, 32, 48, 64, 96, ... which pads by less than a half.
 * Throws RangeError when the list has none.
 */
export function bucketLength(length: number, buckets?: readonly number[]): number {
  if (buckets !== undefined) {
    const bucket = buckets.find((candidate) => candidate >= length);
    if (bucket === undefined)
      throw new RangeError(`a row of ${length} tokens; the largest bucket is ${buckets.at(-1)}`);
    return bucket;
  }
  let bucket = 16;
  while (bucket < length) {
    if (bucket * 1.5 >= length) return bucket * 1.5;
    bucket *= 2;
  }
  return bucket;
}

/** What every batch for a classifier has. */
interface LabelledRows extends Rows {
  /** (B) */
  readonly labels: Int32Array;
  /** Where each example was read, where that is known. */
  readonly places: readonly string[];
  /** (B) how much each weighs in the mean of a training's loss, where one has a weight. */
  readonly weights?: Float32Array;
}

/** A batch for a classifier of numbers. */
export interface NumbersBatch extends LabelledRows {
  /** Shape of one example, without B. */
  readonly shape: readonly number[];
  /** (B, ...shape) */
  readonly x: Float32Array;
  /** How many of the last rows are the others once more, moved against a model; 0 when left out. */
  readonly moved?: number;
  /** (B, K): what a regressor is to predict. */
  readonly y?: Float32Array;
}

/** A batch for a classifier of texts. */
export interface TextsBatch extends LabelledRows {
  /** Tokens of a row with padding, which is on the right. */
  readonly width: number;
  /**
   * (B, width) each; segments are 1 for tokens and 0 for padding, types say which of two texts a token is of, shares
   * are 1 / tokens of the row for tokens and 0 for padding.
   */
  readonly tokens: {
    readonly ids: Int32Array;
    readonly segments: Int32Array;
    readonly types: Int32Array;
    readonly shares: Float32Array;
  };
}

/**
 * A batch for an embedder: the first texts of its rows, then what they are compared with: the second ones, in the order
 * of the rows, and the negatives of all rows. `labels` are the places of the second ones, 0 to B - 1.
 */
export interface PairsBatch extends TextsBatch {
  /** Texts that every first one is compared with: B and the negatives. */
  readonly candidates: number;
  /**
   * (B, candidates): 0, and far below it where a candidate is the same text as the row's second one, or its first one:
   * it is no wrong answer.
   */
  readonly apart: Float32Array;
  /** (B + candidates): the task of every text. */
  readonly textTasks: Int32Array;
}

/** A batch for a classifier. */
export type ExampleBatch = NumbersBatch | TextsBatch | PairsBatch;

/** Numbers as a classifier reads them. */
export interface NumbersInput {
  readonly x: Float32Array;
  readonly shape: readonly number[];
}

/** Two texts that belong together, and texts that do not belong to the first. */
export interface PairInput {
  readonly first: Sentences;
  readonly second: Sentences;
  readonly negatives: readonly Sentences[];
  /** How alike the two are, where that is known. */
  readonly score?: number | undefined;
}

/** What a model reads: numbers, the tokens of a text, or those of a pair of texts. */
export type ExampleInput = NumbersInput | { readonly tokens: Sentences } | { readonly pair: PairInput };

interface Labelled {
  readonly label: number;
  /** Numbers to predict. */
  readonly y?: Float32Array;
  /** Position of its group among the groups of data; 0 when left out. */
  readonly group?: number;
  readonly place?: string;
  /** In the mean of a training's loss; 1 when left out. */
  readonly weight?: number;
}

/** An example to stack. */
export type StackedExample = ExampleInput & Labelled;

/**
 * Stacks examples; texts are padded to one of a few lengths. Throws RangeError when there is none or their shapes
 * differ.
 */
export function stackExamples(examples: readonly (NumbersInput & Labelled)[]): NumbersBatch;
export function stackExamples(examples: readonly StackedExample[]): ExampleBatch;
export function stackExamples(examples: readonly StackedExample[]): ExampleBatch {
  if (examples.length === 0) throw new RangeError("a batch needs at least one row");
  const common = {
    rows: examples.length,
    length: 1,
    counted: examples.length,
    labels: Int32Array.from(examples, ({ label }) => label),
    tasks: Int32Array.from(examples, ({ group = 0 }) => group),
    places: examples.flatMap(({ place }) => place ?? []),
    ...(examples.some(({ weight }) => weight !== undefined)
      ? { weights: Float32Array.from(examples, ({ weight = 1 }) => weight) }
      : {}),
  };
  const texts = examples.flatMap((example) => ("tokens" in example ? [example.tokens] : []));
  if (texts.length === examples.length) return { ...common, ...stackTexts(texts) };
  const pairs = examples.flatMap((example) => ("pair" in example ? [example.pair] : []));
  if (pairs.length === examples.length) return { ...common, ...stackPairs(pairs, common.tasks) };
  const numbers = examples.flatMap((example) => ("x" in example ? [example] : []));
  if (numbers.length === examples.length) return { ...common, ...stackNumbers(numbers) };
  throw new RangeError(`${texts.length} of ${examples.length} examples are texts, ${pairs.length} are pairs`);
}

/** The example of most tokens; of numbers the first. */
export const largestExample = <E extends StackedExample>(examples: readonly E[]): E =>
  examples.reduce((a, b) => (tokensIn(b) > tokensIn(a) ? b : a));

/** An example as large as any, for planning: of pairs with as many negatives as any has, all texts the longest. */
export function plannedExample(examples: readonly StackedExample[]): StackedExample {
  const pairs = examples.flatMap((example) => ("pair" in example ? [example.pair] : []));
  if (pairs.length === 0) return largestExample(examples);
  const longest = pairs.flatMap(textsIn).reduce((a, b) => (b.ids.length > a.ids.length ? b : a));
  const most = pairs.reduce((count, { negatives }) => Math.max(count, negatives.length), 0);
  return { pair: { first: longest, second: longest, negatives: Array<Sentences>(most).fill(longest) }, label: 0 };
}

/** All numbers that an example is made of, but its label. */
export function arraysIn(example: ExampleInput): (Int32Array | Float32Array)[] {
  if ("pair" in example) return textsIn(example.pair).flatMap(({ ids, types }) => [ids, types]);
  return "tokens" in example ? [example.tokens.ids, example.tokens.types] : [example.x];
}

/** The texts of a pair, its negatives last. */
export const textsIn = ({ first, second, negatives }: PairInput): Sentences[] => [first, second, ...negatives];

/** Tokens of an example, of all texts of a pair; 1 of numbers. */
export function tokensIn(example: ExampleInput): number {
  if ("pair" in example) return textsIn(example.pair).reduce((sum, { ids }) => sum + ids.length, 0);
  return "tokens" in example ? example.tokens.ids.length : 1;
}

function stackTexts(texts: readonly Sentences[]): Pick<TextsBatch, "width" | "tokens"> {
  const width = bucketLength(texts.reduce((most, { ids }) => Math.max(most, ids.length), 1));
  const [ids, segments, types] = [0, 0, 0].map(() => new Int32Array(texts.length * width)); // (B, width)
  const shares = new Float32Array(texts.length * width);
  for (const [row, text] of texts.entries()) {
    ids!.set(text.ids, row * width);
    types!.set(text.types, row * width);
    segments!.fill(1, row * width, row * width + text.ids.length);
    shares.fill(1 / text.ids.length, row * width, row * width + text.ids.length);
  }
  return { width, tokens: { ids: ids!, segments: segments!, types: types!, shares } };
}

const ALIKE = -1e9;

function stackPairs(
  pairs: readonly PairInput[],
  tasks: Int32Array,
): Omit<PairsBatch, keyof LabelledRows> & { labels: Int32Array } {
  const seconds = [...pairs.map(({ second }) => second), ...pairs.flatMap(({ negatives }) => negatives)];
  const names = seconds.map(({ ids }) => ids.join());
  const apart = new Float32Array(pairs.length * seconds.length); // (B, candidates)
  for (const [i, { first }] of pairs.entries()) {
    const own = [names[i], first.ids.join()];
    for (const [j, name] of names.entries()) if (j !== i && own.includes(name)) apart[i * names.length + j] = ALIKE;
  }
  const labels = Int32Array.from(pairs, (_, i) => i);
  const texts = stackTexts([...pairs.map(({ first }) => first), ...seconds]);
  const ofNegatives = pairs.flatMap(({ negatives }, i) => negatives.map(() => tasks[i]!));
  const textTasks = Int32Array.of(...tasks, ...tasks, ...ofNegatives);
  return { ...texts, candidates: seconds.length, apart, textTasks, labels };
}

function stackNumbers(
  examples: readonly (NumbersInput & Pick<Labelled, "y">)[],
): Pick<NumbersBatch, "shape" | "x" | "y"> {
  const { shape, y: first } = examples[0]!;
  const size = shape.reduce((a, b) => a * b, 1);
  const x = new Float32Array(examples.length * size); // (B, ...shape)
  const y = first && new Float32Array(examples.length * first.length); // (B, K)
  for (const [i, example] of examples.entries()) {
    if (example.shape.join() !== shape.join()) {
      throw new RangeError(`example ${i} is (${example.shape.join(", ")}), the first is (${shape.join(", ")})`);
    }
    if (example.y?.length !== first?.length)
      throw new RangeError(`example ${i} has ${example.y?.length ?? 0} numbers to predict, not ${first?.length ?? 0}`);
    x.set(example.x, i * size);
    if (y && example.y) y.set(example.y, i * example.y.length);
  }
  return { shape, x, ...(y && { y }) };
}

export const isTokens = (batch: Batch): batch is TokenBatch => "ids" in batch;

export const isPairs = (batch: Batch): batch is PairsBatch => "candidates" in batch;

/** Names the shape of a batch. Batches of one shape share programs. */
export function batchKey(batch: Batch): string {
  if (isTokens(batch)) return `${batch.rows}x${batch.length}${batch.packed ? " packed" : ""}`;
  if (isPairs(batch)) return `${batch.rows} and ${batch.candidates} of ${batch.width}`;
  if ("tokens" in batch) return `${batch.rows} of ${batch.width}`;
  return batch.shape.length === 3 ? `${batch.rows} of ${batch.shape.join("x")}` : `${batch.rows}`;
}

/** Where the first three rows were read, for messages. */
export const placesOf = (batch: Batch): string =>
  (isTokens(batch) ? batch.documents.map(({ sequence }) => sequence.place) : batch.places).slice(0, 3).join(", ");
