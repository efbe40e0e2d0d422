/** Pieces of a token of another vocabulary, as they would stand within a text. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { vocabularyOf } from "../../../src/data/vocabulary.ts";
import { pieceSpeller } from "../../../src/merge/vocabulary/spell-pieces.ts";

const GOLDEN = join(import.meta.dir, "../../golden/tokenizer");
async function speller(name: string) {
  const files = new Map(
    ["tokenizer.json", "tokenizer_config.json"].map((file) => [
      file,
      new Uint8Array(readFileSync(join(GOLDEN, name, file))),
    ]),
  );
  const spell = await pieceSpeller({ files, ref: name });
  const tokens = new Map([...vocabularyOf({ files })!].map(([token, id]) => [id, token]));
  return (...keys: string[]) => spell({ id: 0, token: "?", keys }).map((id) => tokens.get(id)!);
}

test("word marks stand where a word begins, and not within one", async () => {
  for (const name of ["spm-bpe", "unigram"]) {
    const pieces = await speller(name);
    expect([name, pieces("word:the").join("")]).toEqual([name, "▁the"]);
    expect([name, pieces("text:the").join("")]).toEqual([name, "the"]);
  }
  const bytes = await speller("gpt2");
  expect(bytes("word:the").join("")).toBe("Ġthe");
  expect(bytes("text:the").join("")).toBe("the");
});

test("bytes are spelled by bytes, and roles by their own texts", async () => {
  const [gpt2, spm] = [await speller("gpt2"), await speller("spm-bpe")];
  expect(gpt2("parts:E282")).toEqual(["â", "Ĥ"]);
  expect(spm("byte:0A")).toEqual(["<0x0A>"]);
  expect(gpt2("role:pad_token").join("")).toBe("?");
});
