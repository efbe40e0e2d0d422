/** Tokens of vocabularies of different kinds that are the same. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { matchTokens } from "../../../src/merge/transplant/match-tokens.ts";
import { keyedVocabulary } from "../../../src/merge/vocabulary/token-keys.ts";

const GOLDEN = join(import.meta.dir, "../../golden/tokenizer");
const KINDS = ["gpt2", "llama3", "spm-bpe", "unigram", "bert"];
function keyed(name: string) {
  const files = ["tokenizer.json", "tokenizer_config.json"].flatMap((file) => {
    const path = join(GOLDEN, name, file);
    return existsSync(path) ? [[file, new Uint8Array(readFileSync(path))] as const] : [];
  });
  return keyedVocabulary({ files: new Map(files), ref: name })!;
}
const vocabularies = new Map(KINDS.map((name) => [name, keyed(name)]));

const match = (donor: string, model: string, allowed = { prefix: false, byte: false }, height = 1e6) =>
  matchTokens(vocabularies.get(donor)!, vocabularies.get(model)!, { height, allowed });

test("every token of a donor has a row or is wanted, and those that match mean the same", () => {
  for (const donor of KINDS)
    for (const model of KINDS) {
      const { rows, wanted, exact, byte, prefix } = match(donor, model);
      const { tokens } = vocabularies.get(donor)!;
      expect([donor, model, rows.size + wanted.length]).toEqual([
        donor,
        model,
        new Set(tokens.map(({ id }) => id)).size,
      ]);
      expect([byte, prefix]).toEqual([0, 0]);
      if (donor === model) expect(wanted).toEqual([]);
      else expect([donor, model, exact > 0]).toEqual([donor, model, true]);
      const keys = new Map(vocabularies.get(model)!.tokens.map((token) => [token.id, token.keys]));
      for (const { id, keys: own } of tokens)
        if (rows.has(id)) expect(own.some((key) => keys.get(rows.get(id)!)!.includes(key))).toBe(true);
    }
});

test("bytes and beginnings match where that is allowed, and nothing beyond the model's rows does", () => {
  const plain = match("gpt2", "spm-bpe");
  const byte = match("gpt2", "spm-bpe", { prefix: false, byte: true });
  expect(byte.byte).toBeGreaterThan(50);
  expect(byte.exact).toBe(plain.exact);
  const all = match("gpt2", "spm-bpe", { prefix: true, byte: true });
  expect(all.prefix).toBeGreaterThan(0);
  expect(all.wanted.length).toBe(byte.wanted.length - all.prefix);
  const few = match("gpt2", "gpt2", undefined, 100);
  expect([few.exact, Math.max(...few.rows.values())]).toEqual([100, 99]);
});
