/** Ids and texts of tokenizers 0.23.1 (test/golden/tokenizer): byte-level BPE, Llama 3, SentencePiece BPE, Unigram. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import { loadTokenizer } from "../../src/data/load-tokenizer.ts";
import { installed } from "./support.ts";

const GOLDEN = path.join(import.meta.dir, "../golden/tokenizer");

interface Case {
  readonly text: string;
  readonly ids: number[];
  readonly ids_with_special: number[];
  readonly tokens: string[];
  readonly decoded: string;
  readonly decoded_skip_special: string;
}

const tokenizers = await installed("@huggingface/tokenizers");

for (const name of ["gpt2", "llama3", "spm-bpe", "unigram"]) {
  test.skipIf(!tokenizers)(`${name}: ids and texts are those of the library tokenizers`, async () => {
    const folder = path.join(GOLDEN, name);
    const files = ["tokenizer.json", "tokenizer_config.json"].map(
      (file) => [file, new Uint8Array(fs.readFileSync(path.join(folder, file)))] as const,
    );
    const tokenizer = await loadTokenizer(new Map(files), name);
    const { cases, vocab_size } = JSON.parse(fs.readFileSync(path.join(folder, "cases.json"), "utf8")) as {
      cases: Case[];
      vocab_size: number;
    };
    expect(tokenizer.vocabSize).toBe(vocab_size);
    expect(cases.length).toBeGreaterThan(10);
    for (const { text, ids, ids_with_special, tokens, decoded, decoded_skip_special } of cases) {
      const found = {
        text,
        ids: [...tokenizer.encode(text)],
        ids_with_special: [...tokenizer.encode(text, { special: true })],
        decoded: tokenizer.decode(ids),
        decoded_skip_special: tokenizer.decode(ids_with_special, { skipSpecial: true }),
      };
      expect(found).toEqual({ text, ids, ids_with_special, decoded, decoded_skip_special });
      for (const [i, token] of tokens.entries()) if (token !== "<unk>") expect(tokenizer.idOf(token)).toBe(ids[i]!);
      const stream = tokenizer.decoder({ skipSpecial: true });
      expect(ids_with_special.map((id) => stream.push(id)).join("") + stream.end()).toBe(decoded_skip_special);
    }
  });
}
