/**
 * Decoders: the pieces of tokens to text, following the library `tokenizers`
 * (https://github.com/huggingface/tokenizers, src/decoders). Each maps a list of texts to a list of texts, which are
 * joined in the end.
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
import { cleanUp } from "./streams.ts";

export type Decoder = (pieces: readonly string[]) => readonly string[];

/** The decoder of tokenizer.json; without one spaces stand between tokens. Throws UserError for an unknown kind. */
export function decoderOf(value: Json | undefined, reading: Reading): Decoder {
  const part = partOf(value, "decoder", reading);
  return part === undefined ? (pieces) => [pieces.join(" ")] : chained(part, reading);
}

function chained(part: Part, reading: Reading): Decoder {
  const make = KINDS[part.type];
  if (make === undefined) throw unknownPart("decoder", part.type, reading);
  return make(part, reading);
}

const KINDS: Readonly<Record<string, (part: Part, reading: Reading) => Decoder>> = {
  Sequence: ({ decoders }, reading) => {
    const steps = partsOf(decoders, "decoders", reading).map((part) => chained(part, reading));
    return (pieces) => steps.reduce((list, step) => step(list), pieces);
  },
  ByteLevel: () => byteLevel,
  ByteFallback: () => byteFallback,
  Fuse: () => (pieces) => [pieces.join("")],
  Metaspace: (part) => {
    const mark = textAt(part, "replacement", "\u2581");
    const isPrepended = prependScheme(part) !== "never";
    return (pieces) => pieces.map((piece, i) => piece.replaceAll(mark, i === 0 && isPrepended ? "" : " "));
  },
  Replace: ({ pattern, content }, reading) => {
    const found = patternOf(pattern, reading);
    const text = typeof content === "string" ? content : "";
    return (pieces) => pieces.map((piece) => piece.replace(found, () => text));
  },
  Strip: (part) => {
    const content = textAt(part, "content", " ");
    const [start, stop] = [Number(part.start ?? 0), Number(part.stop ?? 0)];
    return (pieces) => pieces.map((piece) => stripped(piece, content, start, stop));
  },
  WordPiece: (part) => {
    const prefix = textAt(part, "prefix", "##");
    const word = (piece: string, i: number) =>
      i === 0 ? piece : piece.startsWith(prefix) ? piece.slice(prefix.length) : ` ${piece}`;
    return (pieces) => pieces.map(word).map((text) => (part.cleanup === false ? text : cleanUp(text)));
  },
  BPEDecoder: (part) => {
    const suffix = textAt(part, "suffix", "</w>");
    return (pieces) => pieces.map((piece, i) => piece.replaceAll(suffix, i === pieces.length - 1 ? "" : " "));
  },
};

const BYTES = new Map(byteCharacters().map((character, byte) => [character, byte]));

/** A piece with a character that stands for no byte is text as it is. */
function byteLevel(pieces: readonly string[]): string[] {
  const utf8 = new TextEncoder();
  const bytes = pieces.flatMap((piece) => {
    const own = Array.from(piece, (character) => BYTES.get(character));
    return own.every((byte) => byte !== undefined) ? own : [...utf8.encode(piece)];
  });
  return [new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes))];
}

/** Runs of <0x..> are the bytes of a text; where they are none, each is U+FFFD. */
function byteFallback(pieces: readonly string[]): string[] {
  const texts: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      texts.push(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes)));
    } catch {
      texts.push(...bytes.map(() => "\ufffd"));
    }
    bytes = [];
  };
  for (const piece of pieces) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece);
    if (byte) {
      bytes.push(Number.parseInt(byte[1]!, 16));
    } else {
      flush();
      texts.push(piece);
    }
  }
  flush();
  return texts;
}

function stripped(text: string, content: string, start: number, stop: number): string {
  const characters = [...text];
  let from = 0;
  while (from < start && characters[from] === content) from++;
  let to = characters.length;
  while (to > from && characters.length - to < stop && characters[to - 1] === content) to--;
  return characters.slice(from, to).join("");
}
