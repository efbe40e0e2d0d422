import { beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { lines, nextModel } from "./next-model.ts";

const { folder, at, run } = await nextModel("evaluate");

test("a model that has learnt its rows gives them all back", async () => {
  const metrics = "exact-match,accuracy,sequence-accuracy,perplexity,ece";
  const { text, code } = await run("evaluate", ["next", "--data", "next.jsonl", "--metric", metrics, "--json", "-q"]);
  expect(code).toBe(0);
  const found = JSON.parse(text);
  expect(found["exact-match"]).toBe(1);
  expect(found.accuracy).toBe(1);
  expect(found["sequence-accuracy"]).toBe(1);
  expect(found.perplexity).toBeLessThan(1.1);
  expect(found.ece).toBeLessThan(0.1);
});

test("choices are told by their likelihood", async () => {
  const rows = [
    { text: "3>", choices: ["7", "4", "1"], answer: 1 },
    { prompt: "8>", choices: ["9", "2"], answer: 1 },
  ];
  writeFileSync(at("choices.jsonl"), lines(rows));
  const { text } = await run("evaluate", ["next", "--data", "choices.jsonl", "--metric", "choice", "--json", "-q"]);
  expect(JSON.parse(text).choice).toBe(0.5);
});

test("models side by side, by group, with differences", async () => {
  const argv = [
    "golden",
    "golden",
    "--data",
    "a=ids.jsonl",
    "--data",
    "b=ids.jsonl",
    "--metric",
    "loss",
    "--json",
    "-q",
  ];
  const { rows } = JSON.parse((await run("evaluate", argv)).text);
  expect(rows.map(({ group }: { group: string }) => group)).toEqual(["all", "all", "a", "a", "b", "b"]);
  const second = rows[1];
  expect(second.difference).toBe(0);
  expect(second.difference_interval).toEqual([0, 0]);
  expect(rows[0].value).toBe(rows[2].value);
});

test("a dry run says what would be measured, and writes nothing", async () => {
  const argv = ["next", "--gold", "next", "--data", "next.jsonl", "--data", "b=cut.jsonl", "--metric", "loss,ece"];
  const before = readdirSync(folder).sort();
  const { text, code } = await run("evaluate", [...argv, "-n", "-q", "--dump", "dumped.safetensors", "-o", "table"]);
  expect(code).toBe(0);
  expect(text).toMatch(
    /^model {8}next, 75.1 kB of weights\ngold {9}next, .*\ngroup {8}next, 10 rows, 20 tokens that count\ngroup {8}b, 11 rows, 20 tokens that count\nmetrics {6}loss, ece\nGPU memory {3}\S+ MB\nhost memory {2}about \d+ MB; .*\nwrites {7}logits to dumped.safetensors, the result to table\n$/,
  );
  const passed = await run("evaluate", ["next", "--data", "next.jsonl", "--pass", "--dry-run", "--json"]);
  expect(JSON.parse(passed.text)).toMatchObject({
    models: [{ model: "next", role: "model" }],
    metrics: ["loss", "accuracy"],
    groups: [{ group: "next", rows: 10, counted: 20 }],
    writes: ["the model to stdout", "the result to stderr"],
  });
  const classes = await run("evaluate", ["mlp", "--data", "classes.jsonl", "-n"]);
  expect(classes.text).toContain("classes, 3 rows, 3 examples\n");
  const probed = await run("evaluate", ["next", "--data", "next.jsonl", "--probe", "trace", "-n"]);
  expect(probed.text).toMatch(/^probe +trace$/m);
  expect(probed.text).toMatch(/^GPU memory +at least .*, without what the technique itself takes$/m);
  expect((await run("evaluate", ["next", "--data", "none.jsonl", "-n"])).code).toBe(2);
  expect(readdirSync(folder).sort()).toEqual(before);
}, 120_000);

/** Writes turned.jsonl, the rows of next.jsonl in another order. */
function turn(): void {
  const rows = readFileSync(at("next.jsonl"), "utf8").trimEnd().split("\n");
  writeFileSync(at("turned.jsonl"), `${rows.reverse().join("\n")}\n`);
}

test("rows without a token that counts are not drawn, nor counted", async () => {
  const argv = ["next", "next", "--gold", "next", "--metric", "loss,sequence-accuracy,mia-reference", "--json", "-q"];
  // A comparison of a group with itself is refused: the other has the same rows in another order.
  turn();
  const data = (file: string) => ["--data", `forget=${file}`, "--data", "holdout=turned.jsonl"];
  const cut = await run("evaluate", [...argv, ...data("cut.jsonl")]);
  const whole = await run("evaluate", [...argv, ...data("next.jsonl")]);
  expect(JSON.parse(cut.text)).toEqual(JSON.parse(whole.text));
  const [first] = JSON.parse(cut.text).rows;
  expect(first).toMatchObject({ metric: "loss", rows: 20, interval: [expect.any(Number), expect.any(Number)] });
});

describe("a model whose logits are not finite", () => {
  const told = "evaluate: broken: the logits of next.jsonl:1 are not finite\n  hint: bun run inspect broken --check";
  beforeAll(() => {
    turn();
    cpSync(at("next"), at("broken"), { recursive: true });
    const bytes = readFileSync(at("next/model.safetensors"));
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
    bytes.writeFloatLE(Number.NaN, 8 + length + header["model.norm.weight"].data_offsets[0]);
    writeFileSync(at("broken/model.safetensors"), bytes);
    writeFileSync(at("asked.jsonl"), lines([{ prompt: "3>", choices: ["4", "5"], answer: 0 }]));
  });

  test.each(["loss", "accuracy", "ece", "exact-match", "perplexity", "mia-min-k-plus"])("has no %s", async (metric) => {
    const data = ["--data", "forget=next.jsonl", "--data", "holdout=turned.jsonl"];
    const { code, text, err } = await run("evaluate", ["next", "broken", ...data, "--metric", metric, "-q"]);
    expect(err).toStartWith(told);
    expect(text).toBe("");
    expect(code).toBe(1);
  });

  test("chooses nothing, and says nothing", async () => {
    const chosen = await run("evaluate", ["broken", "--data", "asked.jsonl", "--metric", "choice", "-q"]);
    expect(chosen.err).toStartWith("evaluate: broken: the logits of asked.jsonl:1 are not finite\n");
    const traced = await run("evaluate", ["broken", "--data", "next.jsonl", "--probe", "trace", "-q"]);
    expect(traced.err).toMatch(/^evaluate: broken: the logits of next\.jsonl:\d+ are not finite\n/);
    const sampled = await run("sample", ["broken", "3>", "-q"]);
    expect(sampled.err).toStartWith("sample: broken: the logits of prompt 1 are not finite\n");
    expect([chosen.code, chosen.text, sampled.code]).toEqual([1, "", 1]);
    expect(sampled.text.trim()).toBe("");
  });
});

test("a row whose end is cut away is not answered", async () => {
  writeFileSync(at("one.jsonl"), lines([{ prompt: "3>", completion: "4" }]));
  const argv = ["next", "--data", "one.jsonl", "--metric", "sequence-accuracy", "--json", "-q", "--bootstrap", "0"];
  const value = async (...more: string[]) =>
    JSON.parse((await run("evaluate", [...argv, ...more])).text)["sequence-accuracy"];
  expect([await value(), await value("--max-length", "3")]).toEqual([1, 0]);
});

test.each([
  [["next", "--data", "next.jsonl", "-o", "next.jsonl"], "--out: next.jsonl is read by this run\n"],
  [["next", "--data", "next.jsonl", "-o", "next/config.json"], "--out: next/config.json is read by this run\n"],
  [["next", "--data", "next.jsonl", "--dump-top", "5"], "--dump-top has no effect without --dump"],
  [["next", "--data", "next.jsonl", "--metric", "rouge-l", "--stop", ""], "--stop is empty"],
  [["next", "next", "--data", "-"], "rows from stdin cannot be read twice, which several models need"],
  [
    ["next", "--data", "asked.jsonl", "--metric", "loss"],
    "asked.jsonl:1: the row has a prompt and no completion, which is what is learned or scored\n",
  ],
  [["mlp", "--data", "beyond.jsonl"], "beyond.jsonl:2: label 3, but the model has 3 classes"],
  [["mlp", "--data", "short.jsonl"], "short.jsonl:1: the example is (1); the model takes (2)"],
  [
    ["golden", "--data", "ids.jsonl", "--metric", "perplexty"],
    "--metric: unknown metric perplexty\n  hint: did you mean perplexity?",
  ],
  [
    ["golden", "--data", "ids.jsonl", "--metric", "class-accuracy"],
    "--metric class-accuracy is not for golden, a llama causal-lm\n  hint: it is for a classifier",
  ],
  [["golden", "--data", "next.jsonl"], "next.jsonl:1: "],
  [["golden"], "--data is missing"],
])("%j is refused", async (argv, message) => {
  writeFileSync(at("asked.jsonl"), lines([{ prompt: "3>" }]));
  writeFileSync(at("beyond.jsonl"), lines([0, 3].map((label) => ({ x: [1, 2], label }))));
  writeFileSync(at("short.jsonl"), lines([{ x: [1], label: 0 }]));
  const { err, code } = await run("evaluate", argv);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
