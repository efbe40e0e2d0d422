/** Steering by twins, what holds to the first model, and requests one after the other. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collate } from "../../src/data/batch.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { loadSequences } from "../../src/data/dataset.ts";
import { parseGroups } from "../../src/data/groups.ts";
import { targetsOf } from "../../src/data/targets.ts";
import { Twins, twinPrompt } from "../../src/unlearn/twins.ts";
import { dataOf, tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-duge-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const run = (script: string, words: readonly string[]) => runScript(script, words, folder);
async function good(script: string, line: string, ...more: readonly string[]) {
  const done = await run(script, [...line.split(" "), ...more]);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}
const bytes = (name: string) => dataOf(readFileSync(at(join(name, "model.safetensors"))));
const FIT = "--batch-size 4 --lr 3e-3 --save-every 0";

const FORGET = [
  { prompt: "town of Bea?", completion: " Rome.", subject: "Bea" },
  { prompt: "bird of Bea?", completion: " owl.", subject: "Bea" },
];
const OTHER = [
  { prompt: "town of Lo?", completion: " Bonn.", subject: "Lo" },
  { prompt: "bird of Lo?", completion: " jay.", twin: "bird of him?" },
];
const KEEP = [
  { prompt: "town of Kim?", completion: " Oslo." },
  { prompt: "bird of Kim?", completion: " hen." },
];

beforeAll(async () => {
  for (const [name, rows] of Object.entries({ forget: FORGET, other: OTHER, keep: KEEP }))
    writeFileSync(at(`${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  writeFileSync(at("tiny.json"), JSON.stringify({ ...TINY_TEXT.llama, vocab_size: 264 }));
  await good(
    "train",
    `--init tiny.json --tokenizer byte --data forget.jsonl --data other.jsonl --data keep.jsonl ${FIT} --steps 30 -o base/`,
  );
});

describe("twins", () => {
  test("are a row's own, or its prompt without its subject", () => {
    expect(twinPrompt({ prompt: "a Bea b Bea", extra: { subject: "Bea" } }, "one", "x:1")).toBe("a one b one");
    expect(twinPrompt({ prompt: "a", extra: { twin: "c", subject: "a" } }, "one", "x:1")).toBe("c");
    expect(() => twinPrompt({ prompt: "a", extra: { subject: "b" } }, "one", "x:1")).toThrow(
      "x:1: the row has no twin",
    );
  });

  test("lie beside rows by the tokens of their answers", async () => {
    const tokenizer = byteTokenizer();
    const encode = { tokenizer, vocabSize: 264, maxLength: 64 };
    const groups = parseGroups([at("forget.jsonl")]);
    const { sequences } = await loadSequences(groups, encode);
    const tools = { tokenizer, encode, files: tokenizer.files };
    const twins = await Twins.read(groups, { tools, neutral: "someone", method: "duge", pad: 0 });
    const batch = collate(sequences.map((sequence) => [sequence]));
    const { batch: twin, places } = twins.of(batch);
    const [own, theirs] = [targetsOf(batch), targetsOf(twin)];
    let counted = 0;
    for (const [i, place] of places.entries()) {
      expect(place >= 0).toBe(own[i]! >= 0);
      if (place < 0) continue;
      expect(theirs[place]!).toBe(own[i]!);
      counted++;
    }
    expect(counted).toBe(batch.counted);
  });
});

const measured = async (models: string, groups: string) => {
  const { text } = await good("evaluate", `${models} ${groups} --metric loss --json`);
  const { rows } = JSON.parse(text) as { rows: { model: string; group: string; value: number }[] };
  return (model: string, group: string) => rows.find((row) => row.model === model && row.group === group)!.value;
};

test("steering moves keys and values alone, and forgets more of what is asked for than of the rest", async () => {
  await good(
    "unlearn",
    `base/ --method duge --forget forget.jsonl --retain keep.jsonl ${FIT} --steps 12 --weight-decay 0 --retain-weight 10 -o steered/`,
  );
  const [before, after] = [await tensorsOf(at("base")), await tensorsOf(at("steered"))];
  const moved = [...after].filter(([name, values]) => values.some((x, i) => x !== before.get(name)![i]));
  expect(moved.length).toBeGreaterThan(0);
  for (const [name] of moved) expect(name).toMatch(/\.(k|v)_proj\./);
  const loss = await measured("base/ steered/", "--data forget=forget.jsonl --data keep=keep.jsonl");
  const [forgot, lost] = ["forget", "keep"].map((group) => loss("steered/", group) - loss("base/", group));
  expect(forgot!).toBeGreaterThan(0.02);
  expect(lost!).toBeLessThan(0.85 * forgot!);
});

test("a penalty holds to the model that is named, and a loss of distributions to that which is", async () => {
  const line = `steered/ --method grad-diff --forget forget.jsonl --retain keep.jsonl ${FIT} --weight-decay 0`;
  // Held hard to the first model, the weights go back to it.
  await good("unlearn", `${line} --steps 10 --penalty-weight 1e4 --penalty-from base/ -o back/`);
  const [base, steered] = [await tensorsOf(at("base")), await tensorsOf(at("steered"))];
  const way = async (name: string, from: ReadonlyMap<string, Float32Array>) => {
    let sum = 0;
    for (const [weight, values] of await tensorsOf(at(name)))
      for (const [i, x] of values.entries()) sum += (x - from.get(weight)![i]!) ** 2;
    return sum;
  };
  expect(await way("back", base)).toBeLessThan(await way("back", steered));
  const kl = `steered/ --method grad-diff --forget forget.jsonl --retain keep.jsonl ${FIT} --retain-loss kl --steps 2`;
  await good("unlearn", `${kl} -o own/`);
  await good("unlearn", `${kl} --original steered/ -o same/`);
  await good("unlearn", `${kl} --original base/ -o first/`);
  expect(bytes("same").equals(bytes("own"))).toBe(true);
  expect(bytes("first").equals(bytes("own"))).toBe(false);
});

test("one request is the step itself, and two are told with what went before", async () => {
  const by = `npo --retain keep.jsonl ${FIT} --steps 3 --retain-loss kl --original @first`;
  await good("unlearn", `base/ --method ${by.replace("@first", "base/")} --forget forget.jsonl -o alone/`);
  const line =
    "requests base/ --request forget.jsonl --request other.jsonl --neighbours keep.jsonl --general keep.jsonl";
  const { text } = await good("unlearn", `${line} -o stream/ --json --by`, by);
  expect(bytes("stream/request-1").equals(bytes("alone"))).toBe(true);
  const { rows, erosion } = JSON.parse(text) as {
    rows: { requests: number; forget: number | null; values: Record<string, number> }[];
    erosion: number;
  };
  expect(rows.map(({ requests }) => requests)).toEqual([0, 1, 2]);
  const [, one, two] = rows;
  expect(one!.forget).toBe(one!.values["request-1"]!);
  expect(two!.forget).toBeCloseTo((two!.values["request-1"]! + two!.values["request-2"]!) / 2, 12);
  expect(erosion).toBeCloseTo(rows[0]!.values.general! - two!.values.general!, 12);
  const again = await run("unlearn", [...line.split(" "), "-o", "stream/", "--by", by]);
  expect([again.code, again.err]).toEqual([2, expect.stringContaining("stream/request-1 is there already")]);
  const odd = await run("unlearn", [...line.split(" "), "-o", "x/", "--by", "npo --forget a.jsonl"]);
  expect([odd.code, odd.err]).toEqual([2, expect.stringContaining("--by has --forget")]);
});

test("what does not go together is refused", async () => {
  for (const [line, message] of [
    ["--method npo --original base/", "--original is for losses that read what the model as it was says"],
    ["--method duge --steer-layers 9", "--steer-layers 9: the model has blocks"],
    ["--method npo --penalty-weight 1 --penalty-from tiny.json", "tiny.json"],
  ] as const) {
    const { code, err } = await run(
      "unlearn",
      `base/ --forget forget.jsonl --retain keep.jsonl --steps 1 ${line} -o x/`.split(" "),
    );
    expect([line, code, err]).toEqual([line, 2, expect.stringContaining(message)]);
  }
  const { code, err } = await run(
    "unlearn",
    "base/ --forget keep.jsonl --retain other.jsonl --method duge --steps 1 -o x/".split(" "),
  );
  expect([code, err]).toEqual([2, expect.stringContaining("the row has no twin, nor a subject")]);
});
