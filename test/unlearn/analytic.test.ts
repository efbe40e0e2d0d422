/**
 * `train analytic` and `unlearn --method analytic`: learning and taking out rows is a refit of the rows that are left.
 */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { openPlain } from "../../src/checkpoint/open.ts";
import { readFitState } from "../../src/run/analytic/fit-state.ts";
import { trainLab } from "../cli/train-lab.ts";
import { normals } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();

const CLASSES = 3;
const write = (name: string, rows: readonly unknown[]) =>
  writeFileSync(at(name), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);
const numbersOf = (row: number, size: number) => Array.from(normals(40 + row, size), (x) => Number(x.toFixed(4)));
const vectors = (from: number, end: number) =>
  Array.from({ length: end - from }, (_, i) => ({ x: numbersOf(from + i, 4), label: (from + i) % CLASSES }));
const texts = (from: number, end: number) =>
  Array.from({ length: end - from }, (_, i) => ({
    text: `${"ab cd ef gh".slice(0, 3 + ((from + i) % 8))} ${from + i}`.repeat(1 + ((from + i) % 3)),
    label: (from + i) % CLASSES,
  }));

async function ok(line: string): Promise<string> {
  const [script = "", ...argv] = line.split(" ");
  const { code, err } = await run(script, argv);
  expect([line, code, code === 0 ? "" : err]).toEqual([line, 0, ""]);
  return err;
}

async function refusal(line: string): Promise<string> {
  const [script = "", ...argv] = line.split(" ");
  const { code, err } = await run(script, argv);
  expect(code).toBe(2);
  return err;
}

async function stateOf(name: string) {
  const opened = await openPlain(at(name));
  try {
    return await readFitState(name, opened.tensors);
  } finally {
    opened.close();
  }
}

/** Largest difference of R and W over their largest values; which rows they hold is the same. */
async function apart(one: string, other: string): Promise<number> {
  const [a, b] = [await stateOf(one), await stateOf(other)];
  expect(a.rows.stored()).toEqual(b.rows.stored());
  const of = (x: Float64Array, y: Float64Array) =>
    x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i]!)), 0) /
    y.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Math.max(of(a.fit.inverse, b.fit.inverse), of(a.fit.weights, b.fit.weights));
}

beforeAll(() => {
  const mlp = { model_type: "mlp", input_size: 4, hidden_sizes: [8], num_labels: CLASSES };
  writeFileSync(at("mlp.json"), JSON.stringify(mlp));
  const vit = {
    model_type: "vit",
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  };
  const image = { image_size: 4, patch_size: 2, num_channels: 1, num_labels: CLASSES };
  writeFileSync(at("vit.json"), JSON.stringify({ ...vit, ...image }));
  writeFileSync(at("llama.json"), JSON.stringify({ ...TINY_TEXT.llama, vocab_size: 264 }));
  for (const [name, from, end] of [
    ["all", 0, 50],
    ["left", 10, 50],
    ["gone", 0, 10],
    ["one", 3, 4],
  ] as const) {
    write(`${name}.jsonl`, vectors(from, end));
    write(`${name}-texts.jsonl`, texts(from, end));
    write(
      `${name}-images.jsonl`,
      Array.from({ length: end - from }, (_, i) => ({ x: numbersOf(from + i, 16), label: (from + i) % CLASSES })),
    );
  }
  write(
    "class.jsonl",
    vectors(0, 50).filter(({ label }) => label === 1),
  );
  write("turned.jsonl", vectors(0, 10).toReversed());
  write("wrong.jsonl", [{ ...vectors(0, 1)[0], label: 1 }]);
});

describe("a perceptron whose head reads random units", () => {
  beforeAll(async () => {
    await ok("train --init mlp.json --data all.jsonl --steps 1 -o mlp/");
    await ok("train analytic mlp/ --data all.jsonl --expand 24 --ridge 0.3 --seed 5 -o all/");
    await ok("train analytic mlp/ --data left.jsonl --expand 24 --ridge 0.3 --seed 5 -o left/");
    await ok("unlearn all/ --method analytic --forget gone.jsonl -o without/");
  });

  test("forgets as the refit does, in whatever order the rows come, and learns them again", async () => {
    expect(await apart("without", "left")).toBeLessThan(1e-12);
    await ok("unlearn all/ --method analytic --forget turned.jsonl -o turned/");
    expect(await apart("turned", "left")).toBeLessThan(1e-12);
    await ok("train analytic without/ --data gone.jsonl -o again/");
    expect(await apart("again", "all")).toBeLessThan(1e-12);
  });

  test("the served head is that of the state", async () => {
    const { fit } = await stateOf("without");
    const opened = await openPlain(at("without"));
    const entry = opened.tensors.get("expanded.weight")!;
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    opened.close();
    const served = new Float32Array(bytes.buffer);
    for (let c = 0; c < CLASSES; c++)
      for (let i = 0; i < 24; i++) expect(served[c * 24 + i]).toBe(Math.fround(fit.weights[i * CLASSES + c]!));
    const found = await run("evaluate", ["without/", "--data", "left.jsonl", "--json"]);
    expect(found.err).not.toContain("analytic");
    expect(found.code).toBe(0);
  });

  test("a class that goes gives 0 for every row", async () => {
    await ok("unlearn all/ --method analytic --forget class.jsonl --forget-class 1 -o classless/");
    const { fit, rows } = await stateOf("classless");
    expect(rows.of(1)).toBe(0);
    for (let i = 0; i < 24; i++) expect(fit.weights[i * CLASSES + 1]).toBe(0);
    expect(await refusal("unlearn all/ --method analytic --forget one.jsonl --forget-class 0 -o no/")).toContain(
      "--forget-class 0: 16 of its rows are still learnt after this request",
    );
  });

  test("rows that are not in the head are refused", async () => {
    const never = "the head never learnt this row with label";
    expect(await refusal("unlearn without/ --method analytic --forget one.jsonl -o no/")).toContain(never);
    expect(await refusal("unlearn all/ --method analytic --forget wrong.jsonl -o no/")).toContain(`${never} 1`);
    expect(await refusal("unlearn mlp/ --method analytic --forget one.jsonl -o no/")).toContain("no analytic.R");
    expect(await refusal("train analytic all/ --data one.jsonl --ridge 2 -o no/")).toContain("was fitted with 0.3");
    expect(await refusal("train analytic all/ --data one.jsonl --expand 9 -o no/")).toContain(
      "reads random units already",
    );
  });

  test("a head that was trained since is refused, and its state is left out", async () => {
    await ok("train all/ --data one.jsonl --steps 1 -o trained/");
    expect(await refusal("unlearn trained/ --method analytic --forget one.jsonl -o no/")).toContain("no analytic.R");
  });
});

test.each([
  ["vit", "-images", ""],
  ["llama", "-texts", "--classes 3"],
] as const)("%s", async (name, rows, more) => {
  const tokenizer = name === "llama" ? "--tokenizer byte " : "";
  const given = name === "llama" ? "all-plain" : "all-images";
  write(
    "all-plain.jsonl",
    texts(0, 4).map(({ text }) => ({ text })),
  );
  await ok(`train --init ${name}.json ${tokenizer}--data ${given}.jsonl --steps 1 --batch-size 2 -o ${name}/`);
  const fit = async (data: string) =>
    ok(
      `train analytic ${name}/ --data ${data}${rows}.jsonl ${more} --ridge 0.1 -o ${name}-${data}/`.replace(
        / {2,}/g,
        " ",
      ),
    );
  await fit("all");
  await fit("left");
  await ok(`unlearn ${name}-all/ --method analytic --forget gone${rows}.jsonl -o ${name}-without/`);
  expect(await apart(`${name}-without`, `${name}-left`)).toBeLessThan(1e-9);
  const found = await run("evaluate", [
    `${name}-without/`,
    "--data",
    `left${rows}.jsonl`,
    "--metric",
    "class-accuracy",
    "--json",
  ]);
  expect([found.code, found.err.includes("left out")]).toEqual([0, false]);
  expect(readFileSync(at(`${name}-without/config.json`), "utf8")).toContain("num_labels");
});
