import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openPlain } from "../../src/checkpoint/open.ts";
import { runScript, runShell } from "../support/command.ts";

const GOLDEN = fileURLToPath(new URL("../golden/train/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "ingot-evaluate-"));
const at = (name: string) => join(folder, name);
const run = (name: string, argv: readonly string[]) => runScript(name, argv, folder);
const lines = (rows: readonly unknown[]) => `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`;

beforeAll(async () => {
  cpSync(join(GOLDEN, "llama-tied"), at("golden"), { recursive: true });
  writeFileSync(at("ids.jsonl"), lines([{ input_ids: [1, 2, 3, 4] }, { input_ids: [5, 6, 7] }]));
  const config = {
    model_type: "llama",
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: 264,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  };
  writeFileSync(at("config.json"), JSON.stringify(config));
  // One digit after another: learnt in seconds, and then nothing is left to chance.
  const sums = Array.from({ length: 10 }, (_, i) => ({ prompt: `${i}>`, completion: `${(i + 1) % 10}` }));
  writeFileSync(at("next.jsonl"), lines(sums));
  const training = [
    "--init",
    "config.json",
    "--tokenizer",
    "byte",
    "--data",
    "next.jsonl",
    "--batch-size",
    "10",
    "--steps",
    "120",
    "--lr",
    "0.01",
    "-o",
    "next/",
    "-q",
  ];
  const trained = await run("train", training);
  expect(trained.err).toBe("");
  writeFileSync(at("mlp.json"), JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 3 }));
  writeFileSync(at("classes.jsonl"), lines([0, 1, 2].map((label) => ({ x: [label, -label], label }))));
  const mlp = await run("train", ["--init", "mlp.json", "--data", "classes.jsonl", "--steps", "1", "-o", "mlp/", "-q"]);
  expect(mlp.err).toBe("");
  // What the model reads is cut before the completion of the first row.
  writeFileSync(at("cut.jsonl"), lines([{ prompt: "x".repeat(64), completion: "1" }, ...sums]));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("evaluate", () => {
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

  test("logits of rows of different length follow each other; the largest come with the mass of the others", async () => {
    await run("evaluate", ["golden", "--data", "ids.jsonl", "--dump", "all.safetensors", "-q"]);
    await run("evaluate", ["golden", "--data", "ids.jsonl", "--dump", "top.safetensors", "--dump-top", "3", "-q"]);
    const [all, top] = [await openPlain(at("all.safetensors")), await openPlain(at("top.safetensors"))];
    const shapes = (opened: typeof all) => [...opened.tensors.values()].map(({ name, shape }) => `${name} ${shape}`);
    expect(shapes(all)).toEqual(["logits 7,50", "lengths 2"]);
    expect(shapes(top)).toEqual(["ids 7,3", "log_probs 7,3", "tail 7", "lengths 2"]);
    const read = async (opened: typeof all, name: string) => {
      const entry = opened.tensors.get(name)!;
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      return new Float32Array(bytes.buffer);
    };
    const [logProbs, tail] = [await read(top, "log_probs"), await read(top, "tail")];
    for (const [row, rest] of tail.entries()) {
      const kept = logProbs.subarray(3 * row, 3 * row + 3).reduce((sum, x) => sum + Math.exp(x), 0);
      expect(kept + rest).toBeCloseTo(1, 5);
    }
    all.close();
    top.close();
  });

  test("--pass hands the bytes on, and says the result on stderr", async () => {
    const { code, err } = await runShell(
      "$EVALUATE golden/model.safetensors --data ids.jsonl --metric loss --pass --json > passed.safetensors",
      folder,
    );
    expect(code).toBe(0);
    expect(err).toMatch(/"loss":\d/);
    expect((await run("inspect", ["golden", "--diff", "passed.safetensors", "-q"])).code).toBe(0);
    const [a, b] = [await openPlain(at("golden/model.safetensors")), await openPlain(at("passed.safetensors"))];
    for (const entry of a.tensors.values()) {
      const [x, y] = [new Uint8Array(entry.bytes), new Uint8Array(entry.bytes)];
      await entry.read(x, 0);
      await b.tensors.get(entry.name)!.read(y, 0);
      expect(y).toEqual(x);
    }
    a.close();
    b.close();
  });

  test("with --pass the result goes to the file of -o", async () => {
    const line = "$EVALUATE next --data next.jsonl --metric loss --pass -q";
    for (const [json, found] of [["", /^group +metric/] as const, [" --json", /^{"loss":\d/] as const]) {
      const { code, err } = await runShell(`${line}${json} -o result.txt > passed.safetensors`, folder);
      expect([code, err]).toEqual([0, ""]);
      expect(readFileSync(at("result.txt"), "utf8")).toMatch(found);
      expect((await run("inspect", ["next", "--diff", "passed.safetensors", "-q"])).code).toBe(0);
    }
  });

  test.each([
    ["", "--data is missing"],
    ["--data none.jsonl", "none.jsonl does not exist"],
    ["--data next.jsonl --metric choice", "next.jsonl:1: the row needs prompt, choices"],
    ["--data next.jsonl --metric truth-ratio", "next.jsonl:1: no row names alternative answers"],
    ["--data cut.jsonl --metric exact-match", "cut.jsonl:1: a prompt of 64 tokens leaves no room"],
    ["--data next.jsonl --gold golden", "next.jsonl:1: the row is text, but there is no tokenizer"],
  ])("--pass %s hands nothing on", async (line, message) => {
    const { code, out, err } = await run("evaluate", ["next", "--pass", "-q", ...line.split(" ").filter(Boolean)]);
    expect([code, out.length]).toEqual([2, 0]);
    expect(err).toContain(message);
  });

  test("a dry run says what would be measured, and writes nothing", async () => {
    const argv = ["next", "--gold", "next", "--data", "next.jsonl", "--data", "b=cut.jsonl", "--metric", "loss,ece"];
    const before = readdirSync(folder).sort();
    const { text, code } = await run("evaluate", [...argv, "-n", "-q", "--dump", "dumped.safetensors", "-o", "table"]);
    expect(code).toBe(0);
    expect(text).toMatch(
      /^model {4}next, 75.1 kB of weights\ngold {5}next, .*\ngroup {4}next, 10 rows, 20 tokens that count\ngroup {4}b, 11 rows, 20 tokens that count\nmetrics {2}loss, ece\nwrites {3}logits to dumped.safetensors, the result to table\n$/,
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
    expect((await run("evaluate", ["next", "--data", "none.jsonl", "-n"])).code).toBe(2);
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  test("--dump writes one safetensors file, over an older dump and nothing else", async () => {
    cpSync(at("next"), at("kept"), { recursive: true });
    symlinkSync("kept/model.safetensors", at("link.safetensors"));
    const files = () => readdirSync(at("kept")).map((name) => readFileSync(join(folder, "kept", name)).toString("hex"));
    const before = files();
    const expected = "expected a file whose name ends with .safetensors";
    const argv = ["kept", "--data", "next.jsonl", "--metric", "loss", "-q"];
    for (const [dump, message] of [
      ["kept/", `--dump kept/: ${expected}, found a folder`],
      ["kept", `--dump kept: ${expected}, found a folder`],
      ["out.txt", `--dump out.txt: ${expected}\n`],
      ["next.jsonl", `--dump next.jsonl: ${expected}\n`],
      ["none/x.safetensors", "--dump none/x.safetensors: the folder none does not exist"],
      ["kept/model.safetensors", "--dump: kept/model.safetensors is read by this run\n"],
      ["link.safetensors", "--dump: link.safetensors is read by this run, as kept/model.safetensors\n"],
      ["-", "--dump - and the result would both write to stdout\n  hint: give the result a file, -o FILE"],
    ]) {
      const { err, code, out } = await run("evaluate", [...argv, "--dump", dump!]);
      expect(err).toContain(message!);
      expect([code, out.length]).toEqual([2, 0]);
    }
    expect(files()).toEqual(before);
    expect(existsSync(at("out.txt"))).toBe(false);
    for (const data of ["ids.jsonl", "ids.jsonl"])
      expect((await run("evaluate", ["golden", "--data", data, "--dump", "again.safetensors", "-q"])).code).toBe(0);
    const piped = await run("evaluate", ["golden", "--data", "ids.jsonl", "--dump", "-", "-o", "beside.txt", "-q"]);
    expect(piped.out).toEqual(new Uint8Array(readFileSync(at("again.safetensors"))));
    expect(readFileSync(at("beside.txt"), "utf8")).toContain("loss");
    rmSync(at("beside.txt"));
  });

  test("rows without a token that counts are not drawn, nor counted", async () => {
    const argv = ["next", "next", "--gold", "next", "--metric", "loss,sequence-accuracy,mia-reference", "--json", "-q"];
    const data = (file: string) => ["--data", `forget=${file}`, "--data", `holdout=${file}`];
    const cut = await run("evaluate", [...argv, ...data("cut.jsonl")]);
    const whole = await run("evaluate", [...argv, ...data("next.jsonl")]);
    expect(JSON.parse(cut.text)).toEqual(JSON.parse(whole.text));
    const [first] = JSON.parse(cut.text).rows;
    expect(first).toMatchObject({ metric: "loss", rows: 20, interval: [expect.any(Number), expect.any(Number)] });
  });

  test("a loss that is not finite is told, by model and group", async () => {
    cpSync(at("next"), at("broken"), { recursive: true });
    const bytes = readFileSync(at("next/model.safetensors"));
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
    bytes.writeFloatLE(Number.NaN, 8 + length + header["model.norm.weight"].data_offsets[0]);
    writeFileSync(at("broken/model.safetensors"), bytes);
    const argv = ["next", "broken", "--data", "a=next.jsonl", "--data", "b=next.jsonl", "--metric", "loss"];
    const { code, text, err } = await run("evaluate", [...argv, "--json", "-q"]);
    expect(code).toBe(0);
    expect(JSON.parse(text).rows.map(({ value }: { value: number | null }) => value === null)).toEqual([
      ...[false, true],
      ...[false, true],
      ...[false, true],
    ]);
    const told = (group: string) => `the loss of broken is not finite on 10 of 10 rows of the group ${group}`;
    expect(err).toBe(["a", "b"].map((group) => `evaluate: warning: ${told(group)}\n`).join(""));
  });

  test.each([
    [["next", "--data", "next.jsonl", "-o", "next.jsonl"], "--out: next.jsonl is read by this run\n"],
    [["next", "--data", "next.jsonl", "-o", "next/config.json"], "--out: next/config.json is read by this run\n"],
    [["next", "--data", "next.jsonl", "--dump-top", "5"], "--dump-top has no effect without --dump"],
    [["next", "--data", "next.jsonl", "--metric", "rouge-l", "--stop", ""], "--stop is empty"],
    [["next", "next", "--data", "-"], "rows from stdin cannot be read twice, which several models need"],
    [
      ["next", "--data", "asked.jsonl", "--metric", "loss"],
      "asked.jsonl:1: the row has a prompt and no completion, which is what is learnt or scored\n",
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
});

describe("sample", () => {
  test("one prompt is streamed, several are told apart, rows are lines of JSON", async () => {
    expect((await run("sample", ["next", "3>", "-q"])).text).toBe("4\n");
    expect((await run("sample", ["next", "3>", "7>", "-q"])).text).toBe("3>4\n7>8\n");
    const { text } = await run("sample", ["next", "--prompts", "next.jsonl", "--json", "-q"]);
    const rows = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.map(({ text }) => text)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"]);
    expect(rows[3]).toMatchObject({ prompt: "3>", sample: 0, tokens: 1, ids: [52] });
  });

  test("rows may hold a prompt alone, or messages with a system message before them", async () => {
    const messages = [{ role: "user", content: "3>" }];
    writeFileSync(at("prompts.jsonl"), lines([{ prompt: "3>" }, { prompt: "7>", id: 1 }]));
    writeFileSync(at("talk.jsonl"), lines([{ messages }]));
    expect((await run("sample", ["next", "--prompts", "prompts.jsonl", "-q"])).text).toBe("3>4\n7>8\n");
    const spoken = ["next", "--prompts", "talk.jsonl", "--system", "x", "-m", "1", "-q"];
    expect((await run("sample", spoken)).code).toBe(0);
  });

  test("a dry run says what would be answered", async () => {
    const argv = ["next", "--prompts", "next.jsonl", "--samples", "2", "-m", "9", "--dry-run", "-o", "answers"];
    const { text, code } = await run("sample", argv);
    expect(code).toBe(0);
    expect(text).toBe(
      "model    next, 75.1 kB of weights\nprompts  10, the longest of 2 tokens\nanswers  20 of at most 9 tokens\nwrites   answers\n",
    );
    expect(JSON.parse((await run("sample", [...argv, "--json"])).text)).toMatchObject({ prompts: 10, samples: 2 });
    expect(existsSync(at("answers"))).toBe(false);
    expect((await run("sample", ["next", "--prompts", "cut.jsonl", "-n"])).code).toBe(2);
  });

  test("a prompt may come through a pipe, and so may the model", async () => {
    expect((await runShell("printf '5>' | $SAMPLE next -q", folder)).text).toBe("6\n");
    expect((await runShell("$MERGE next --method passthrough -q | $SAMPLE - '5>' -q", folder)).text).toBe("6\n");
  });

  test("samples depend on the seed, not on the batch", async () => {
    const draw = async (...more: string[]) =>
      (await run("sample", ["next", "3>", "--samples", "6", "-t", "5", "-m", "5", "--json", "-q", ...more])).text;
    const one = await draw();
    expect(await draw("--batch-size", "2")).toBe(one);
    expect(await draw("--seed", "1")).not.toBe(one);
  });

  test("an answer ends before a stop text", async () => {
    expect((await run("sample", ["next", "3>", "--stop", "4", "-q"])).text).toBe("\n");
  });

  test.each([
    [["golden", "hello"], "golden has no tokenizer.json\n  hint: give --tokenizer byte, or a folder that has one"],
    [["next"], "no prompt\n"],
    [
      ["next", "--prompts", "cut.jsonl"],
      "cut.jsonl:1: a prompt of 64 tokens leaves no room in the 64 positions of next",
    ],
    [["next", "--prompts", "far.jsonl"], "far.jsonl:1: token 999 is outside the vocabulary of 264 of next"],
    [["next", "--prompts", "next.jsonl", "-o", "next.jsonl"], "--out: next.jsonl is read by this run\n"],
    [["next", "3>", "--stop", ""], "--stop is empty, so every answer would end before it begins"],
    [["next", "3>", "--system", "x"], "sample: --system has no effect without --chat"],
    [["next", "--prompts", "next.jsonl", "--system", "x"], "next.jsonl:1: --system has no effect without --chat"],
    [["next", "x".repeat(70)], "a prompt of 70 tokens leaves no room in the 64 positions of next"],
  ])("%j is refused", async (argv, message) => {
    writeFileSync(at("far.jsonl"), lines([{ input_ids: [999] }]));
    const { err, code } = await run("sample", argv);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });
});

test.each([
  ["beyond.jsonl", "beyond.jsonl:2: label 3, but the model has 3 classes"],
  ["short.jsonl", "short.jsonl:1: the example is (1); the model takes (2)"],
])("train refuses --eval-data %s of a classifier", async (file, message) => {
  writeFileSync(at("beyond.jsonl"), lines([0, 3].map((label) => ({ x: [1, 2], label }))));
  writeFileSync(at("short.jsonl"), lines([{ x: [1], label: 0 }]));
  const argv = ["mlp", "--data", "classes.jsonl", "--eval-data", file, "--steps", "1", "-o", "never/", "-q"];
  const { err, code } = await run("train", argv);
  expect(err).toContain(message);
  expect(code).toBe(2);
});

test("train refuses a prompt without a completion", async () => {
  writeFileSync(at("asked.jsonl"), lines([{ prompt: "3>" }]));
  const { err, code } = await run("train", ["next", "--data", "asked.jsonl", "--steps", "1", "-o", "never/", "-q"]);
  expect(err).toContain("asked.jsonl:1: the row has a prompt and no completion, which is what is learnt or scored\n");
  expect(code).toBe(2);
});

test("the log of a run holds every step and the evaluations", async () => {
  const argv = [
    "golden",
    "--data",
    "ids.jsonl",
    "--eval-data",
    "ids.jsonl",
    "--steps",
    "4",
    "--eval-every",
    "2",
    "--best",
    "best",
    "-o",
    "logged/",
    "--log",
    "run.jsonl",
    "-q",
  ];
  expect((await run("train", argv)).err).toBe("");
  const events = readFileSync(at("run.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events.filter(({ event }) => event === "step").map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  expect(events.filter(({ event, group }) => event === "eval" && group === undefined).map(({ step }) => step)).toEqual([
    2, 4,
  ]);
  expect(events.at(-1)).toMatchObject({ event: "end", ok: true, steps: 4 });
  const best = await openPlain(at("best"));
  expect(best.tensors.size).toBeGreaterThan(0);
  best.close();
});
