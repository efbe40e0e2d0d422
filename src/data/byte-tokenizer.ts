/**
 * The embedded tokenizer: one token per byte of UTF-8, and three special tokens. Needs no download, no training and no
 * library, and loses nothing.
 *
 * It is saved as what it is to other tools: byte-level BPE (in the manner of GPT-2, whose map from bytes to printable
 * characters it uses) with an empty list of merges. Token b is byte b; 256, 257 and 258 are <pad>, <bos> and <eos>.
 * As in those tools, the text "<eos>" inside a document is the special token, unless `encodeBytes` is asked.
 */
import { byteCharacters } from "./byte-characters.ts";
import { arranged, PLAIN } from "./tokenization/sentence-template.ts";
import type { Tokenizer } from "./tokenizer.ts";

const BYTES = 256;
const SPECIAL = ["<pad>", "<bos>", "<eos>"] as const;
const SPECIAL_TEXT = /<(?:pad|bos|eos)>/g;

/** What conversations look like without another template; `plainTemplate` in template.ts renders the same. */
export const PLAIN_TEMPLATE =
  "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + eos_token }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";

/**
 * The tokenizer; `encode` never fails, and `decode` of what it gave returns the text (lone surrogates become U+FFFD).
 */
export function byteTokenizer(): Tokenizer & { encodeBytes(bytes: Uint8Array): Int32Array } {
  return {
    name: "byte-level",
    vocabSize: BYTES + SPECIAL.length,
    pad: 256,
    bos: 257,
    eos: 258,
    ends: [258],
    files: tokenizerFiles(),
    encode,
    arrange: (first, second) => arranged(PLAIN, first, second),
    encodeBytes: (bytes) => Int32Array.from(bytes),
    decode: (ids, options) => {
      const decoder = byteDecoder(options?.skipSpecial ?? false);
      let text = "";
      for (const id of ids) text += decoder.push(id);
      return text + decoder.end();
    },
    decoder: (options) => byteDecoder(options?.skipSpecial ?? false),
    idOf: (token) => {
      const special = (SPECIAL as readonly string[]).indexOf(token);
      if (special >= 0) return BYTES + special;
      const byte = byteCharacters().indexOf(token);
      return byte < 0 ? undefined : byte;
    },
  };
}

function encode(text: string): Int32Array {
  const utf8 = new TextEncoder();
  const parts: (Uint8Array | number)[] = [];
  let from = 0;
  for (const match of text.matchAll(SPECIAL_TEXT)) {
    parts.push(utf8.encode(text.slice(from, match.index)));
    parts.push(BYTES + (SPECIAL as readonly string[]).indexOf(match[0]));
    from = match.index + match[0].length;
  }
  parts.push(utf8.encode(text.slice(from)));
  const ids = new Int32Array(
    parts.reduce<number>((sum, part) => sum + (typeof part === "number" ? 1 : part.length), 0),
  );
  let at = 0;
  for (const part of parts) {
    if (typeof part === "number") {
      ids[at++] = part;
    } else {
      ids.set(part, at);
      at += part.length;
    }
  }
  return ids;
}

/** Text as its bytes complete it; bytes that are no UTF-8 become U+FFFD, as in other decoders. */
function byteDecoder(skipSpecial: boolean) {
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true }); // a byte order mark is text like any other
  return {
    push(id: number): string {
      if (id >= 0 && id < BYTES) return utf8.decode(Uint8Array.of(id), { stream: true });
      const special = SPECIAL[id - BYTES]; // none for a padded row of a model's vocabulary, which other decoders skip too
      return skipSpecial || special === undefined ? "" : utf8.decode() + special;
    },
    end: () => utf8.decode(),
  };
}

/** tokenizer.json, tokenizer_config.json and special_tokens_map.json; the same bytes every time. */
function tokenizerFiles(): Map<string, Uint8Array> {
  const added = (content: string) => ({ content, single_word: false, lstrip: false, rstrip: false, normalized: false });
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, i) => ({ id: BYTES + i, ...added(content), special: true })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: vocabulary(),
      merges: [],
    },
  };
  const [pad_token, bos_token, eos_token] = SPECIAL;
  const config = {
    added_tokens_decoder: Object.fromEntries(
      SPECIAL.map((token, i) => [BYTES + i, { ...added(token), special: true }]),
    ),
    add_prefix_space: false,
    bos_token,
    chat_template: PLAIN_TEMPLATE,
    clean_up_tokenization_spaces: false,
    eos_token,
    pad_token,
    tokenizer_class: "PreTrainedTokenizerFast",
  };
  const file = (value: unknown) => new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`);
  return new Map([
    ["tokenizer.json", file(tokenizer)],
    ["tokenizer_config.json", file(config)],
    ["special_tokens_map.json", file({ bos_token, eos_token, pad_token })],
  ]);
}

function vocabulary(): Record<string, number> {
  // JavaScript puts the digits first; readers go by the number, not by the order.
  return Object.fromEntries(byteCharacters().map((character, byte) => [character, byte]));
}
