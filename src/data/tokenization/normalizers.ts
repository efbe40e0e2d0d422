/**
 * Normalizers: what happens to a text before it is split, following the library `tokenizers`
 * (https://github.com/huggingface/tokenizers, src/normalizers).
 */
import type { Json } from "../../json.ts";
import { type Part, partOf, partsOf, patternOf, type Reading, textAt, unknownPart } from "./definition.ts";

export type Normalizer = (text: string) => string;

/** The normalizer of tokenizer.json; undefined without one. Throws UserError for an unknown kind. */
export function normalizerOf(value: Json | undefined, reading: Reading): Normalizer | undefined {
  const part = partOf(value, "normalizer", reading);
  return part && normalizerOfPart(part, reading);
}

function normalizerOfPart(part: Part, reading: Reading): Normalizer {
  const make = KINDS[part.type];
  if (make === undefined) throw unknownPart("normalizer", part.type, reading);
  return make(part, reading);
}

const KINDS: Readonly<Record<string, (part: Part, reading: Reading) => Normalizer>> = {
  Sequence: ({ normalizers }, reading) => {
    const steps = partsOf(normalizers, "normalizers", reading).map((part) => normalizerOfPart(part, reading));
    return (text) => steps.reduce((changed, step) => step(changed), text);
  },
  NFC: () => (text) => text.normalize("NFC"),
  NFD: () => (text) => text.normalize("NFD"),
  NFKC: () => (text) => text.normalize("NFKC"),
  NFKD: () => (text) => text.normalize("NFKD"),
  Lowercase: () => (text) => text.toLowerCase(),
  StripAccents: () => (text) => text.replace(/\p{M}/gu, ""),
  Prepend: (part) => {
    const prefix = textAt(part, "prepend", "\u2581");
    return (text) => (text === "" ? "" : prefix + text);
  },
  Replace: ({ pattern, content }, reading) => {
    const found = patternOf(pattern, reading);
    const better = typeof content === "string" ? content : "";
    return (text) => text.replace(found, () => better);
  },
  Strip: ({ strip_left, strip_right }) => {
    const left = strip_left === false ? /(?!)/u : /^\p{White_Space}+/u;
    const right = strip_right === false ? /(?!)/u : /\p{White_Space}+$/u;
    return (text) => text.replace(left, "").replace(right, "");
  },
  BertNormalizer: ({ clean_text, handle_chinese_chars, strip_accents, lowercase }) => {
    const lowers = lowercase !== false;
    const strips = typeof strip_accents === "boolean" ? strip_accents : lowers;
    return (text) => {
      const clean = clean_text === false ? text : text.replace(CONTROL, "").replace(/\p{White_Space}/gu, " ");
      const spaced = handle_chinese_chars === false ? clean : clean.replace(IDEOGRAPH, " $& ");
      const bare = strips ? spaced.normalize("NFD").replace(/\p{Mn}/gu, "") : spaced;
      return lowers ? bare.toLowerCase() : bare;
    };
  },
};

const CONTROL = /(?![\t\n\r])[\ufffd\p{Cc}\p{Cf}\p{Cn}\p{Co}]/gu;
const IDEOGRAPH = new RegExp(
  "[\\u4e00-\\u9fff\\u3400-\\u4dbf\\u{20000}-\\u{2a6df}\\u{2a700}-\\u{2b73f}\\u{2b740}-\\u{2b81f}" +
    "\\u{2b920}-\\u{2ceaf}\\uf900-\\ufaff\\u{2f800}-\\u{2fa1f}]",
  "gu",
);
