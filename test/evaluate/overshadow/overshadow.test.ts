/** Facts of the probe overshadow, the fit of its law, and what it finds where no fact is rarer than another. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { drawFacts } from "../../../src/evaluate/overshadow/facts.ts";
import { logLaw } from "../../../src/evaluate/overshadow/law.ts";
import { runScript } from "../../support/command.ts";

const TOKENS = Array.from({ length: 20 }, (_, i) => i + 3);
const SIZES = { groups: 5, popular: 7, rare: 2, shared: 3, own: 1 };

describe("facts", () => {
  const facts = drawFacts(SIZES, TOKENS, 1);

  test("of one beginning end in two ways, and no prompt is there twice", () => {
    expect([facts.popular.length, facts.rare.length]).toEqual([35, 10]);
    const prompts = [...facts.popular, ...facts.rare].map(({ ids }) => ids.subarray(0, -1).join());
    expect(new Set(prompts).size).toBe(45);
    const ends = new Map<string, Set<string>>();
    for (const [kind, other] of [
      ["popular", facts.otherThanPopular],
      ["rare", facts.otherThanRare],
    ] as const)
      for (const [i, { ids, labels }] of facts[kind].entries()) {
        expect([...labels]).toEqual([-100, -100, -100, -100, ids.at(-1)!]);
        const begin = ids.subarray(0, 3).join();
        const [usual, unusual] = kind === "popular" ? [ids.at(-1), other[i]] : [other[i], ids.at(-1)];
        expect(usual).not.toBe(unusual);
        ends.set(begin, (ends.get(begin) ?? new Set()).add(`${usual} ${unusual}`));
      }
    expect([...ends.values()].map(({ size }) => size)).toEqual([1, 1, 1, 1, 1]);
  });

  test("more popular ones leave the rare ones and the fewer popular ones as they are", () => {
    const more = drawFacts({ ...SIZES, popular: 9 }, TOKENS, 1);
    expect(more.rare).toEqual(facts.rare);
    expect(more.popular.slice(0, 7)).toEqual(facts.popular.slice(0, 7));
    expect(drawFacts(SIZES, TOKENS, 2).rare).not.toEqual(facts.rare);
  });

  test("that cannot all differ are refused", () => {
    expect(() => drawFacts({ ...SIZES, popular: 30 }, TOKENS, 1)).toThrow("hardly more sequences of 1 of 20 tokens");
  });
});

test("the law is the line of least squares in ln x", () => {
  const exact = logLaw([1, 2, 7].map((x) => ({ x, y: 0.3 * Math.log(x) - 0.1 })));
  expect(exact?.a).toBeCloseTo(0.3, 12);
  expect(exact?.b).toBeCloseTo(-0.1, 12);
  expect(exact?.r2).toBeCloseTo(1, 12);
  const bent = logLaw([
    { x: 1, y: 0 },
    { x: Math.E, y: 1 },
    { x: Math.E ** 2, y: 0 },
  ]);
  expect(bent?.a).toBeCloseTo(0, 12);
  expect(bent?.r2).toBeCloseTo(0, 12);
  expect(logLaw([{ x: 2, y: 1 }])).toBeUndefined();
});

test("where rare facts are as many as popular ones neither drown the other, and where they are not they are drowned", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-overshadow-"));
  const run = (script: string, ...argv: string[]) => runScript(script, argv, folder);
  const config = { model_type: "llama", hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2 };
  const more = { num_attention_heads: 4, vocab_size: 264, max_position_embeddings: 16 };
  writeFileSync(join(folder, "tiny.json"), JSON.stringify({ ...config, ...more }));
  writeFileSync(join(folder, "row.jsonl"), `${JSON.stringify({ text: "a" })}\n`);
  const made = [
    "--init",
    "tiny.json",
    "--tokenizer",
    "byte",
    "--data",
    "row.jsonl",
    "--steps",
    "1",
    "-o",
    "tiny/",
    "-q",
  ];
  expect((await run("train", ...made)).err).toBe("");
  const argv = [
    "tiny/",
    "--probe",
    "overshadow",
    "--overshadow-ratios",
    "1,12",
    "--overshadow-lengths",
    "4",
    "--json",
    "-q",
  ];
  const found = await run(
    "evaluate",
    ...argv,
    "--overshadow-steps",
    "30",
    "--overshadow-batch",
    "16",
    "--overshadow-groups",
    "12",
    "--overshadow-predict",
    "1,1e9",
  );
  expect(found.err).toBe("");
  const [{ points, ratio, predicted }] = JSON.parse(found.text).rows;
  const [alike, uneven] = points;
  expect(Math.abs(alike.R - alike.reverse)).toBeLessThan(0.3);
  expect(uneven.R).toBeGreaterThan(alike.R + 0.3);
  expect(uneven.reverse).toBeLessThan(0.1);
  expect(ratio.a).toBeCloseTo((uneven.R - alike.R) / Math.log(12), 9);
  expect(predicted[0].R).toBeCloseTo(alike.R, 9);
  expect(predicted[1].R).toBe(1);
  for (const [more, message] of [
    [["--data", "row.jsonl"], "--data has no effect with --probe overshadow, which makes its own rows"],
    [["--overshadow-own", "20"], "do not fit in the 16 positions of tiny/"],
    [["--overshadow-rare", "60"], "there are no 780 facts that differ in 1 of the"],
    [["--metric", "loss"], "--metric has no effect with --probe overshadow"],
  ] as const) {
    const { code, err } = await run("evaluate", ...argv, ...more);
    expect([code, err.includes(message), err]).toEqual([2, true, err]);
  }
  rmSync(folder, { recursive: true });
});
