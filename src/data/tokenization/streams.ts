/** Text that appears token by token, and what is cleaned out of it. */
import type { StreamDecoder } from "../tokenizer.ts";

/**
 * Decodes a stream with a decoder of whole lists. The text of a token depends on those before it (spaces, split
 * characters), so a few tokens that were given already stay in the window, and only what they did not say is given.
 */
export function windowDecoder(decode: (ids: number[]) => string): StreamDecoder {
  let window: number[] = [];
  let given = 0; // tokens at the start of the window whose text was given
  return {
    push(id) {
      window.push(id);
      const whole = decode(window);
      // An unfinished character ends in U+FFFD; it has at most four bytes, so one that lasts longer is meant.
      if (whole.endsWith("\ufffd") && window.length - given < 5) return "";
      const text = whole.slice(decode(window.slice(0, given)).length);
      window = window.slice(given);
      given = window.length;
      return text;
    },
    end() {
      const text = decode(window).slice(decode(window.slice(0, given)).length);
      window = [];
      given = 0;
      return text;
    },
  };
}

/** What `clean_up_tokenization_spaces` asks for: no space before punctuation and English contractions. */
export const cleanUp = (text: string): string =>
  CONTRACTIONS.reduce((cleaned, [found, better]) => cleaned.replaceAll(found, better), text);

const CONTRACTIONS: readonly (readonly [string, string])[] = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

/**
 * Cleans a stream up. Everything that is changed begins with a space, so what follows the last one is held back; where
 * that space may end " ' ", what follows the one before.
 */
export function cleanedStream(stream: StreamDecoder): StreamDecoder {
  let held = "";
  return {
    push(id) {
      held += stream.push(id);
      const last = held.lastIndexOf(" ");
      const cut = held.slice(0, last).endsWith(" '") ? last - 2 : last;
      if (cut <= 0) return "";
      const text = cleanUp(held.slice(0, cut));
      held = held.slice(cut);
      return text;
    },
    end() {
      const text = cleanUp(held + stream.end());
      held = "";
      return text;
    },
  };
}
