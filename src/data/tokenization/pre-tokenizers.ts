/**
 * Pre-tokenizers: a text to the words that the model splits further. They follow the library `tokenizers`
 * (https://github.com/huggingface/tokenizers, src/pre_tokenizers), whose classes of characters are Unicode's.
 */
import type { Json } from "../../json.ts";
import { byteCharacters } from "../byte-characters.ts";
import {
  type Part,
  partOf,
  partsOf,
  patternOf,
  prependScheme,
  type Reading,
  textAt,
  unknownPart,
} from "./definition.ts";

/** A word, and whether it begins the whole text. */
export interface Piece {
  readonly text: string;
  readonly first: boolean;
}

export type PreTokenizer = (piece: Piece) => Piece[];

/** What becomes of the separators. */
type Behavior = "Removed" | "Isolated" | "Contiguous" | "MergedWithPrevious" | "MergedWithNext";

const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, "gu");
const SPACE = /\p{White_Space}/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;
/** The words of GPT-2, with Unicode's white space. */
const GPT2 = new RegExp(
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|" +
    "\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+",
  "gu",
);

/** Splits at the matches of `pattern`, or, with `invert`, at what lies between them. */
export function split(piece: Piece, pattern: RegExp, behavior: Behavior, invert = false): Piece[] {
  const parts: { from: number; to: number; separates: boolean }[] = [];
  const add = (from: number, to: number, isMatch: boolean) => {
    if (to > from) parts.push({ from, to, separates: isMatch !== invert });
  };
  let end = 0;
  for (const { 0: match, index } of piece.text.matchAll(pattern)) {
    add(end, index, false);
    add(index, index + match.length, true);
    end = index + match.length;
  }
  add(end, piece.text.length, false);
  return joined(parts, behavior).map(({ from, to }) => ({
    text: piece.text.slice(from, to),
    first: piece.first && from === 0,
  }));
}

interface Span {
  readonly from: number;
  readonly to: number;
  readonly separates: boolean;
}

function joined(parts: readonly Span[], behavior: Behavior): readonly Span[] {
  if (behavior === "Isolated") return parts;
  if (behavior === "Removed") return parts.filter(({ separates }) => !separates);
  const spans: Span[] = [];
  for (const [i, part] of parts.entries()) {
    const before = parts[i - 1];
    const joins =
      before !== undefined &&
      (behavior === "Contiguous"
        ? before.separates === part.separates
        : behavior === "MergedWithPrevious"
          ? part.separates && !before.separates
          : before.separates && !part.separates);
    if (joins) spans.push({ ...spans.pop()!, to: part.to });
    else spans.push(part);
  }
  return spans;
}

/** The pre-tokenizer of tokenizer.json; without one a text is one word. Throws UserError for a kind that is unknown. */
export function preTokenizer(value: Json | undefined, reading: Reading): PreTokenizer {
  const part = partOf(value, "pre_tokenizer", reading);
  return part === undefined ? (piece) => [piece] : (KINDS[part.type]?.(part, reading) ?? refuse(part, reading));
}

function refuse(part: Part, reading: Reading): never {
  throw unknownPart("pre-tokenizer", part.type, reading);
}

const KINDS: Readonly<Record<string, (part: Part, reading: Reading) => PreTokenizer>> = {
  Sequence: ({ pretokenizers }, reading) => {
    const steps = partsOf(pretokenizers, "pretokenizers", reading).map((part) => preTokenizer(part, reading));
    return (piece) => steps.reduce((pieces, step) => pieces.flatMap(step), [piece]);
  },
  ByteLevel,
  Metaspace,
  Whitespace: () => (piece) => split(piece, WORDS, "Removed", true),
  WhitespaceSplit: () => (piece) => split(piece, SPACE, "Removed"),
  BertPreTokenizer: () => (piece) =>
    split(piece, SPACE, "Removed").flatMap((word) => split(word, PUNCTUATION, "Isolated")),
  Punctuation: (part, reading) => {
    const behavior = behaviorOf(part, reading);
    return (piece) => split(piece, PUNCTUATION, behavior);
  },
  Digits: ({ individual_digits }) => {
    const behavior = individual_digits === true ? "Isolated" : "Contiguous";
    return (piece) => split(piece, /\p{N}/gu, behavior);
  },
  Split: (part, reading) => {
    const pattern = patternOf(part.pattern, reading);
    const behavior = behaviorOf(part, reading);
    return (piece) => split(piece, pattern, behavior, part.invert === true);
  },
  CharDelimiterSplit: (part, reading) => {
    const pattern = patternOf({ String: textAt(part, "delimiter", " ") }, reading);
    return (piece) => split(piece, pattern, "Removed");
  },
};

function ByteLevel({ add_prefix_space, use_regex }: Part): PreTokenizer {
  const characters = byteCharacters();
  const utf8 = new TextEncoder();
  return ({ text, first }) => {
    const whole = { text: add_prefix_space !== false && !text.startsWith(" ") ? ` ${text}` : text, first };
    const words = use_regex === false ? [whole] : split(whole, GPT2, "Isolated");
    return words.map((word) => ({
      ...word,
      text: Array.from(utf8.encode(word.text), (byte) => characters[byte]).join(""),
    }));
  };
}

function Metaspace(part: Part, reading: Reading): PreTokenizer {
  const mark = textAt(part, "replacement", "\u2581");
  const scheme = prependScheme(part);
  const marks = patternOf({ String: mark }, reading);
  return ({ text, first }) => {
    const marked = text.replaceAll(" ", mark);
    const prepends = !marked.startsWith(mark) && (scheme === "always" || (scheme === "first" && first));
    const whole = { text: prepends ? mark + marked : marked, first };
    return part.split === false ? [whole] : split(whole, marks, "MergedWithNext");
  };
}

const BEHAVIORS: readonly string[] = ["Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"];

function behaviorOf(part: Part, reading: Reading): Behavior {
  const found = textAt(part, "behavior", "Isolated");
  const known = BEHAVIORS.find((name) => name.toLowerCase() === found.replaceAll("_", "").toLowerCase());
  if (known === undefined) throw unknownPart("behavior", found, reading);
  return known as Behavior;
}
