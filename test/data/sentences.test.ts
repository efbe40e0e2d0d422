/**
 * Tokens and types of texts and pairs as the library tokenizers gives them (test/golden/tokenizer/bert): WordPiece with
 * five kinds of post-processors, cut to several lengths.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Example, loadExamples, type TextReader } from "../../src/data/examples.ts";
import { loadTokenizer } from "../../src/data/load-tokenizer.ts";
import { longestFirst } from "../../src/data/shorten.ts";
import { installed } from "./support.ts";

interface Case {
  readonly processor: string;
  readonly max_length: number | null;
  readonly text: string;
  readonly pair: string | null;
  readonly ids: readonly number[];
  readonly type_ids: readonly number[];
}

const GOLDEN = join(import.meta.dir, "../golden/tokenizer/bert");
const made = mkdtempSync(join(tmpdir(), "ingot-sentences-"));
afterAll(() => rmSync(made, { recursive: true }));

const read = (name: string) => JSON.parse(readFileSync(join(GOLDEN, name), "utf8"));
const definition = read("tokenizer.json");
const processors: Record<string, unknown> = read("processors.json");
// A row without a token is refused, so it has no place here.
const cases = (read("pairs.json") as Case[]).filter(({ ids }) => ids.length > 0);
const library = await installed("@huggingface/tokenizers");

test.skipIf(!library).each(Object.keys(processors))("%s", async (name) => {
  const text = JSON.stringify({ ...definition, post_processor: processors[name] });
  const tokenizer = await loadTokenizer(new Map([["tokenizer.json", new TextEncoder().encode(text)]]), name);
  for (const most of [null, 6, 9, 10]) {
    const own = cases.filter(({ processor, max_length }) => processor === name && max_length === most);
    expect(own.length).toBeGreaterThan(10);
    const rows = own.map((one) => ({
      text: one.text,
      ...(one.pair === null ? {} : { text_pair: one.pair }),
      label: 0,
    }));
    const path = join(made, "rows.jsonl");
    writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const reader: TextReader = {
      ...{ tokenizer, vocabulary: tokenizer.vocabSize, types: 3, labels: {} },
      ...{ maxLength: most ?? 512, refuses: false },
    };
    const found = await loadExamples([{ name: "rows", path }], { classes: 2, text: reader });
    const tokensOf = (example: Example) => ("tokens" in example ? example.tokens : undefined)!;
    expect(found.map((one) => ({ ids: [...tokensOf(one).ids], types: [...tokensOf(one).types] }))).toEqual(
      own.map(({ ids, type_ids }) => ({ ids: [...ids], types: [...type_ids] })),
    );
  }
});

test("all together stay within the length, and nothing is cut that fits", () => {
  for (let a = 0; a < 9; a++)
    for (let b = 0; b < 9; b++)
      for (let most = 0; most < 20; most++) {
        const [first, second] = longestFirst([{ length: a }, { length: b }], most);
        expect((first! <= a && second! <= b) || first! + second! === most).toBe(true);
        expect(first! + second!).toBe(Math.min(a + b, most));
      }
});
