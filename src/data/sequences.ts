/**
 * Rows to token sequences with a label per token.
 *
 * `labels[i]` is `ids[i]` where the loss counts the token and -100 where it does not; the shift by one (position i
 * predicts label i+1) is the loss's. Of prompt and completion only the completion counts, of a conversation only what
 * the assistant says, with the token that ends it.
 *
 * A text is tokenized as a whole, so its tokens are the ones that other tools find. A part begins where the tokens of
 * what comes before, tokenized alone, stop agreeing with those of the whole. A token across the border counts.
 */
import { UserError } from "../errors.ts";
import { agreement, encodeConversation, type Tokens, type Turns } from "./chat/conversation.ts";
import { rowWeight } from "./row-weight.ts";
import { IGNORED, type LocatedRow, type Message, type Row } from "./rows.ts";
import { encodePrompt } from "./special-tokens.ts";
import { type ChatTemplate, plainTemplate } from "./template.ts";
import { tokenMarks } from "./token-marks.ts";
import { NAME_TOKENIZER, type Tokenizer } from "./tokenizer.ts";

export interface Sequence {
  readonly ids: Int32Array;
  /** As long as `ids`; the same array where every token counts. */
  readonly labels: Int32Array;
  /** As long as `ids`, where its row marks tokens (token-marks.ts). */
  readonly marks?: Int32Array;
  /** Position of its group among the groups of data. */
  readonly group: number;
  /** Where the row was read. */
  readonly place: string;
  /** Whether the row's end is missing, because it was too long. */
  readonly isCut?: boolean;
  /** How much its tokens weigh in the mean of a training's loss; 1 when left out. */
  readonly weight?: number;
}

/** What keeps the tokens of large files between runs; token-cache.ts does. */
export interface TokenCache {
  /** The model's and the tokenizer's files, of which all count. */
  readonly files: readonly ReadonlyMap<string, Uint8Array>[];
  /** Options that made tokenizer and template. */
  readonly settings: Readonly<Record<string, string>>;
  /** The user's cache folder when left out. */
  readonly folder?: string;
  /** Files of rows of fewer bytes are read again each time; 8 MiB when left out. */
  readonly leastBytes?: number;
  /** Most bytes of all that is kept; 16 GiB when left out. */
  readonly mostBytes?: number;
}

export interface EncodeOptions {
  /** Needed for every row but those of `input_ids`. */
  tokenizer?: Tokenizer;
  /** For rows of `messages`; the plain format when left out. */
  template?: ChatTemplate;
  /** Ids must be below this. */
  vocabSize?: number;
  /** Most tokens of a sequence. */
  maxLength?: number;
  /** Which turns of a conversation count; all when left out. */
  turns?: Turns;
  /** Whether a message of the assistant may count; all may when left out. */
  speaks?: ((message: Message) => boolean) | undefined;
  /** What happens to longer rows: they are cut (the default), split into further sequences, or refused. */
  overflow?: "truncate" | "split" | "refuse";
  /** Whether a prompt alone is a row, whose answer will be written: some answer stands for it until then. */
  prompts?: boolean;
  /** Ends `text` and `completion` with the tokenizer's end token, if it has one; true when left out. */
  eos?: boolean;
  group?: number;
  /** Keeps the tokens of large files between runs. */
  cache?: TokenCache;
  /** The forms that a row may take, the longest first and the row as it is last: the first that fits is read. */
  shown?: (row: LocatedRow) => Promise<readonly LocatedRow[]>;
  /** Called for every row that is cut. */
  cut?: (place: string, tokens: number) => void;
  /** Called for a conversation of which the template ends the last answer with no token. */
  endless?: (place: string) => void;
}

/**
 * The sequences of a row: one, or several with `overflow: "split"` or `turns: "each"`. Throws UserError, beginning with
 * the row's place, when the row has no tokens, tokens outside the vocabulary, or is not for a language model.
 */
export function encodeRow({ row, place }: LocatedRow, options: EncodeOptions = {}): Sequence[] {
  const weight = rowWeight({ row, place });
  return tokensOf({ row, place }, options).flatMap((tokens) => {
    const marks = tokenMarks({ row, place }, tokens.ids, options.tokenizer);
    const given = { ...tokens, ...(marks ? { marks } : {}), ...(weight === undefined ? {} : { weight }) };
    return piecesOf(given, place, options);
  });
}

function piecesOf(
  { ids, labels, marks, weight }: Tokens & Pick<Sequence, "marks" | "weight">,
  place: string,
  options: EncodeOptions,
): Sequence[] {
  if (ids.length === 0) throw new UserError(`${place}: the row has no tokens`, "leave the row out");
  if (options.vocabSize !== undefined) {
    const odd = ids.findIndex((id) => id >= options.vocabSize!);
    const wrong = odd >= 0 ? ids[odd]! : (labels.find((label) => label >= options.vocabSize!) ?? -1);
    if (wrong >= 0) {
      throw new UserError(
        `${place}: token ${wrong} is outside the model's vocabulary of ${options.vocabSize}`,
        "the rows were made with another tokenizer, or the model has another vocabulary",
      );
    }
  }
  const { maxLength = ids.length, overflow = "truncate", group = 0 } = options;
  if (maxLength < 1) throw new RangeError(`maxLength should be at least 1, found ${maxLength}`);
  if (ids.length > maxLength && overflow === "refuse") {
    throw new UserError(
      `${place}: the row has ${ids.length} tokens, more than ${maxLength}`,
      "shorten it, raise --max-length, or leave out --overflow refuse",
    );
  }
  const isCut = ids.length > maxLength && overflow === "truncate";
  if (isCut) options.cut?.(place, ids.length);
  const pieces: Sequence[] = [];
  for (let from = 0; from < ids.length; from += maxLength) {
    const piece = ids.subarray(from, from + maxLength);
    pieces.push({
      ids: piece,
      labels: labels === ids ? piece : labels.subarray(from, from + maxLength),
      ...(marks && { marks: marks.subarray(from, from + maxLength) }),
      group,
      place,
      ...(isCut && { isCut }),
      ...(weight !== undefined && { weight }),
    });
    if (overflow !== "split") break;
  }
  return pieces;
}

/** The sequences of many rows, one row at a time. */
export async function* encodeRows(rows: AsyncIterable<LocatedRow>, options: EncodeOptions): AsyncGenerator<Sequence> {
  for await (const row of rows) yield* encodeRow(row, options);
}

/** What stands for an answer until there is one. */
const ANY = " .";

function tokensOf({ row: given, place }: LocatedRow, options: EncodeOptions): Tokens[] {
  const row: Row =
    given.form === "prompt" && options.prompts ? { ...given, form: "completion", completion: ANY } : given;
  if (row.form === "tokens") return [{ ids: row.inputIds, labels: row.labels ?? row.inputIds }];
  if (row.form === "pair")
    throw new UserError(
      `${place}: a pair of texts is for a model that makes vectors of texts; this one reads text`,
      "take an encoder for them; or read other columns: --columns prompt=COLUMN,completion=COLUMN",
    );
  if (row.form === "example") {
    throw new UserError(`${place}: the row is for a classifier; a language model reads text or tokens`);
  }
  if (row.form === "prompt") {
    throw new UserError(
      `${place}: the row has a prompt and no completion, which is what is learned or scored`,
      "add a completion; a prompt alone is for bun run sample, and with choices for bun run evaluate --metric choice",
    );
  }
  if (row.form === "preference") {
    throw new UserError(
      `${place}: the row has a chosen and a rejected answer; what is learned or scored here is one answer`,
      typeof row.chosen === "string"
        ? "--columns completion=chosen takes the chosen one (without a prompt: --columns text=chosen)"
        : "--columns messages=chosen takes the chosen conversation, --columns completion=chosen what follows a prompt",
    );
  }
  const { tokenizer, eos = true } = options;
  if (tokenizer === undefined) {
    throw new UserError(
      `${place}: the row is text, but there is no tokenizer`,
      `${NAME_TOKENIZER}, or rows of input_ids`,
    );
  }
  if (row.form === "messages") {
    const { template = plainTemplate(endOfTurn(tokenizer)), turns, speaks, endless } = options;
    return encodeConversation(row, place, { tokenizer, template, turns, speaks, endless });
  }
  const end = eos ? tokenizer.eos : undefined;
  if (row.form === "text") {
    const ids = withEnd(tokenizer.encode(row.text, { special: true }), end);
    return [{ ids, labels: ids }];
  }
  const ids = withEnd(tokenizer.encode(row.prompt + row.completion, { special: true }), end);
  const labels = ids.slice();
  labels.fill(IGNORED, 0, agreement(encodePrompt(tokenizer, row.prompt), ids));
  return [{ ids, labels }];
}

/** The text that ends a turn in the plain format. */
export const endOfTurn = (tokenizer: Tokenizer): string =>
  tokenizer.eos === undefined ? "\n" : tokenizer.decode([tokenizer.eos]);

function withEnd(ids: Int32Array, end: number | undefined): Int32Array {
  if (end === undefined || ids.at(-1) === end) return ids;
  const longer = new Int32Array(ids.length + 1);
  longer.set(ids);
  longer[ids.length] = end;
  return longer;
}
