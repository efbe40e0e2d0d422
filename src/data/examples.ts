/** Rows for classifiers: numbers, or texts, with a label each. */
import { UserError } from "../errors.ts";
import type { Json } from "../json.ts";
import type { ExampleInput, NumbersInput, PairInput } from "./batch.ts";
import type { GroupReference } from "./groups.ts";
import { type ReadOptions, readRows } from "./read-rows.ts";
import { kindOf } from "./row-fields.ts";
import { rowWeight } from "./row-weight.ts";
import { IGNORED, type LocatedRow } from "./rows.ts";
import { longestFirst } from "./shorten.ts";
import type { Sentences } from "./tokenization/sentence-template.ts";
import { NAME_TOKENIZER, type Tokenizer } from "./tokenizer.ts";

/** An example, and where it is from. */
export type Example = ExampleInput & {
  readonly label: number;
  readonly group: number;
  readonly place: string;
  /** Numbers to predict. */
  readonly y?: Float32Array;
  /** How much it weighs in the mean of a training's loss; 1 when left out. */
  readonly weight?: number;
};

/** What a classifier takes. */
export interface ExampleReader {
  readonly classes: number;
  /** Of numbers: the shape of one example. */
  readonly shape?: readonly number[] | undefined;
  /** Of texts: how they become tokens. */
  readonly text?: TextReader | undefined;
  /** Rows are pairs of texts, for an embedder. */
  readonly pairs?: boolean | undefined;
  /** Of texts: the model gives every token a class, which no row of these says. */
  readonly everyToken?: boolean | undefined;
  /** How many numbers the model predicts of every row, where it gives no class. */
  readonly predicts?: number | undefined;
  /** Whether who reads learns or measures such numbers; rows are refused where it does not. */
  readonly takesNumbers?: boolean | undefined;
  /** The model tells rows from noise. */
  readonly denoises?: boolean | undefined;
  /** Whether who reads trains or measures such models; rows are refused where it does not. */
  readonly takesNoise?: boolean | undefined;
  /**
   * Labels are not looked at, and may be missing: every example gets IGNORED. "some": those that are there are read.
   */
  readonly unlabelled?: boolean | "some";
}

/** What turns the texts of rows into tokens for a classifier. */
export interface TextReader {
  /** Undefined where there is none: rows of `input_ids` need none. */
  readonly tokenizer: Tokenizer | undefined;
  readonly vocabulary: number;
  /** Kinds of tokens that the model tells apart; 0 where it does not. */
  readonly types: number;
  /** From a class's name to its number. */
  readonly labels: Readonly<Record<string, number>>;
  /** Most tokens of a row, with what stands around its texts. */
  readonly maxLength: number;
  /** Longer rows are refused rather than cut. */
  readonly refuses: boolean;
  /** Called for every row that is cut. */
  readonly cut?: (place: string, tokens: number) => void;
}

/**
 * Reads groups of rows for a classifier. Throws UserError, with the row's place, for one that it cannot take: of
 * another form, shape or length, with a token or a label that it does not know.
 */
export async function loadExamples(
  groups: readonly GroupReference[],
  reader: ExampleReader,
  options: ReadOptions = {},
): Promise<Example[]> {
  const examples: Example[] = [];
  const make = exampleMaker(reader);
  for (const [group, source] of groups.entries())
    for await (const located of readRows(source, options)) examples.push(make(located, group));
  return examples;
}

/**
 * What makes examples of rows, one after the other: all of the first one's shape. Throws UserError for a model whose
 * rows have no class, and later as `loadExamples` does.
 */
export function exampleMaker(reader: ExampleReader): (located: LocatedRow, group: number) => Example {
  if (reader.everyToken)
    throw new UserError(
      "the model gives every token a class, and such rows give one to a whole text",
      "bun run align --method reward-process trains a model of steps",
    );
  if (reader.predicts !== undefined && !reader.takesNumbers)
    throw new UserError(
      "the model predicts numbers (problem_type regression), and this asks for classes",
      "bun run train learns numbers, and bun run evaluate --metric mse,mae,r2 measures them",
    );
  if (reader.denoises && !reader.takesNoise)
    throw new UserError(
      "the model is a denoiser, which gives no class and no number of a row",
      "bun run train --loss denoise trains one, and bun run evaluate --probe energy-distance measures it",
    );
  let shape: readonly number[] | undefined;
  return (located, group) => {
    const { place } = located;
    const found = rowWeight(located);
    const about = { group, place, ...(found === undefined ? {} : { weight: found }) };
    if (reader.text && reader.pairs) return { pair: pairOf(located, reader.text), label: 0, ...about };
    if (reader.text) {
      const tokens = sentencesOf(located, reader.text);
      return { tokens, label: textLabel(located, reader, reader.text), ...about };
    }
    const numbers = numbersOf(located, reader, shape);
    shape ??= numbers.shape;
    return { ...numbers, ...about };
  };
}

function numbersOf(
  { row, place }: LocatedRow,
  { classes, shape, unlabelled, predicts }: ExampleReader,
  first: readonly number[] | undefined,
): NumbersInput & { readonly label: number; readonly y?: Float32Array } {
  if (row.form !== "example")
    throw new UserError(`${place}: expected x and label or image and label, found a row of ${row.form}`);
  const { x, shape: found, label } = row;
  if (first && first.join() !== found.join())
    throw new UserError(
      `${place}: the example is (${found.join(", ")}), the first one is (${first.join(", ")})`,
      "all examples of a data set have one shape",
    );
  const isClass = unlabelled !== true && predicts === undefined;
  if (isClass && !unlabelled && label === IGNORED)
    throw new UserError(`${place}: label should be a class (0, 1, ...), found ${kindOf(undefined)}`);
  if (isClass) expectClass(label, classes, place);
  const size = shape?.reduce((p, q) => p * q, 1);
  const fits = shape === undefined || found.join() === shape.join() || (found.length === 1 && found[0] === size);
  if (!fits)
    throw new UserError(`${place}: the example is (${found.join(", ")}); the model takes (${shape.join(", ")})`);
  if (isClass || predicts === undefined) return { x, shape: found, label: unlabelled === true ? IGNORED : label };
  return { x, shape: found, label: 0, y: numbersToPredict(row.y, predicts, place) };
}

function numbersToPredict(y: Float32Array | undefined, wanted: number, place: string): Float32Array {
  if (y?.length === wanted) return y;
  throw new UserError(
    `${place}: the model predicts ${wanted === 1 ? "a number" : `${wanted} numbers`}, and ${y ? `y has ${y.length}` : "the row has no y"}`,
    y ? "num_labels of config.json says how many" : "name the column that has it: --columns y=COLUMN",
  );
}

function expectClass(label: number, classes: number, place: string): void {
  if (label < classes) return;
  throw new UserError(
    `${place}: label ${label}, but the model has ${classes} classes`,
    "set num_labels in config.json",
  );
}

/** The class of a row of text: its number, or its name in `id2label`. */
function textLabel({ row, place }: LocatedRow, reader: ExampleReader, { labels }: TextReader): number {
  const { classes, unlabelled } = reader;
  if (unlabelled === true || (unlabelled && row.extra.label === undefined)) return IGNORED;
  if (classes === 1)
    throw new UserError(
      `${place}: the model gives a text one number (num_labels 1), which is no class`,
      "bun run align trains reward models, and bun run evaluate --metric preference measures them",
    );
  const { label } = row.extra;
  if (typeof label === "string" && Object.hasOwn(labels, label)) return labels[label]!;
  if (typeof label === "number" && Number.isInteger(label) && label >= 0) {
    expectClass(label, classes, place);
    return label;
  }
  const names = Object.keys(labels);
  throw new UserError(
    `${place}: label should be a class (0 to ${classes - 1}) or its name, found ${kindOf(label)}`,
    label === undefined
      ? "name the column that has it: --columns label=COLUMN"
      : `config.json names ${names.slice(0, 8).join(", ")}${names.length > 8 ? " and others" : ""} (id2label)`,
  );
}

/** The texts of a pair, each by itself. */
function pairOf({ row, place }: LocatedRow, reader: TextReader): PairInput {
  if (row.form !== "pair")
    throw new UserError(
      `${place}: expected a pair of texts, found a row of ${row.form}`,
      "name the columns: --columns query=COLUMN,positive=COLUMN, or sentence1, sentence2 and score",
    );
  const tokens = (text: string) => checked(textTokens(text, undefined, place, reader), place, reader);
  const { first, second, negatives, score } = row;
  return { first: tokens(first), second: tokens(second), negatives: negatives.map(tokens), score };
}

/** The tokens of a row of text, of `text` and `text_pair`, or of input_ids. */
function sentencesOf({ row, place }: LocatedRow, reader: TextReader): Sentences {
  if (row.form !== "text" && row.form !== "tokens")
    throw new UserError(
      `${place}: expected text and label, found a row of ${row.form}`,
      "name the columns: --columns text=COLUMN,label=COLUMN, with text_pair=COLUMN for a second text",
    );
  const found =
    row.form === "text"
      ? textTokens(row.text, row.extra.text_pair, place, reader)
      : givenTokens({ ids: row.inputIds, types: row.types ?? new Int32Array(row.inputIds.length) }, place, reader);
  return checked(found, place, reader);
}

/** Tokens that the model knows. Throws UserError for others, and for none. */
function checked(found: Sentences, place: string, reader: TextReader): Sentences {
  if (found.ids.length === 0) throw new UserError(`${place}: the row has no tokens`, "leave the row out");
  const odd = found.ids.find((id) => id >= reader.vocabulary);
  if (odd !== undefined)
    throw new UserError(
      `${place}: token ${odd} is outside the model's vocabulary of ${reader.vocabulary}`,
      "the rows were made with another tokenizer, or the model has another vocabulary",
    );
  const type = reader.types > 0 ? found.types.find((each) => each >= reader.types) : undefined;
  if (type !== undefined)
    throw new UserError(
      `${place}: a token is of type ${type}, and the model tells ${reader.types} apart (type_vocab_size)`,
      "the tokenizer is of another model, or the rows were made for one",
    );
  return found;
}

function textTokens(text: string, second: Json | undefined, place: string, reader: TextReader): Sentences {
  const { tokenizer, maxLength } = reader;
  if (tokenizer === undefined)
    throw new UserError(
      `${place}: the row is text, but there is no tokenizer`,
      `${NAME_TOKENIZER}, or rows of input_ids`,
    );
  if (second !== undefined && typeof second !== "string")
    throw new UserError(`${place}: text_pair should be a string, found ${kindOf(second)}`);
  const parts = [text, ...(second === undefined ? [] : [second])].map((part) => [...tokenizer.encode(part)]);
  const around = tokenizer.arrange([], second === undefined ? undefined : []).ids.length;
  const total = around + parts.reduce((sum, part) => sum + part.length, 0);
  if (total > maxLength) told(place, total, reader);
  if (around >= maxLength)
    throw new UserError(`${place}: ${around} special tokens leave no room in ${maxLength}`, "raise --max-length");
  const lengths = longestFirst(parts, maxLength - around);
  const [first, other] = parts.map((part, i) => part.slice(0, lengths[i]));
  return tokenizer.arrange(first!, other);
}

function givenTokens({ ids, types }: Sentences, place: string, reader: TextReader): Sentences {
  const { maxLength } = reader;
  if (ids.length <= maxLength) return { ids, types };
  told(place, ids.length, reader);
  return { ids: ids.subarray(0, maxLength), types: types.subarray(0, maxLength) };
}

/** Says that a row is too long, or refuses it. */
function told(place: string, tokens: number, { maxLength, refuses, cut }: TextReader): void {
  if (refuses)
    throw new UserError(
      `${place}: the row has ${tokens} tokens, more than ${maxLength}`,
      "shorten it, or raise the length",
    );
  cut?.(place, tokens);
}
