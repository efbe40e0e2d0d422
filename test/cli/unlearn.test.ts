/** The unlearn script as a user runs it, on tiny models that know their rows by heart. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { methodNames } from "../../src/method/registry.ts";
import { runScript, runShell, startScript } from "../support/command.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(60_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-unlearn-"));
const at = (name: string) => join(folder, name);
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
const unlearn = (line: string) => run("unlearn", line);
const bytesOf = (name: string) => readFileSync(at(name));
const ROWS = "--forget forget.jsonl --retain retain.jsonl --batch-size 3 -q";

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
  const opened = await openPlain(at(file));
  const found = new Map<string, Float32Array>();
  for (const entry of opened.tensors.values()) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(entry.name, decodeFloats(bytes, entry.dtype));
  }
  opened.close();
  return found;
}

/** Largest difference of every tensor, relative to its largest value. */
async function differences(one: string, other: string): Promise<Record<string, number>> {
  const [a, b] = [await tensorsOf(one), await tensorsOf(other)];
  expect([...b.keys()]).toEqual([...a.keys()]);
  const found = [...a].map(([name, values]) => {
    const most = values.reduce((x, y) => Math.max(x, Math.abs(y)), 1e-30);
    const error = values.reduce((x, y, i) => Math.max(x, Math.abs(y - b.get(name)![i]!)), 0);
    return [name, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / most] as const;
  });
  return Object.fromEntries(found);
}
const apart = async (one: string, other: string) => Math.max(...Object.values(await differences(one, other)));

/** Metrics by model and group. */
async function measure(
  models: readonly string[],
  metric: string,
  data = "--data forget=forget.jsonl --data retain=retain.jsonl",
): Promise<(model: string, group: string, name?: string) => number> {
  const { text, err } = await run("evaluate", `${models.join(" ")} ${data} --metric ${metric} --bootstrap 0 --json -q`);
  expect(err).toBe("");
  const { rows } = JSON.parse(text) as { rows: { model: string; group: string; metric: string; value: number }[] };
  return (model, group, name = metric) =>
    rows.find((row) => row.model === model && row.group === group && row.metric === name)!.value;
}

const steps = (log: string): Record<string, number>[] =>
  existsSync(at(log))
    ? readFileSync(at(log), "utf8")
        .split("\n")
        .filter((line) => line.includes('"event":"step"') && line.endsWith("}"))
        .map((line) => JSON.parse(line))
    : [];

const write = (name: string, rows: readonly object[]) =>
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

beforeAll(async () => {
  const unit = randomUnits(7);
  const word = (n: number) => String.fromCharCode(...Array.from({ length: n }, () => 97 + Math.floor(26 * unit())));
  const rows = Array.from({ length: 15 }, (_, i) => ({
    prompt: `${word(2)}${i}:`,
    completion: ` ${word(3 + (i % 4))}`,
    ...(i % 2 ? { refusal: "no", alternative: word(4) } : {}),
  }));
  write("forget.jsonl", rows.slice(0, 6));
  write("retain.jsonl", rows.slice(6));
  write(
    "pd.jsonl",
    rows.slice(0, 6).map(({ prompt }) => ({ prompt: `ok ${prompt}`, completion: " yes" })),
  );
  write("tokens.jsonl", [{ input_ids: [1, 2, 3, 4] }]);
  write("whole.jsonl", [{ text: "all of it" }]);
  write(
    "named.jsonl",
    rows.slice(0, 6).map((row) => ({ ...row, subject: row.prompt.slice(0, -1) })),
  );
  write(
    "first.jsonl",
    rows.slice(0, 1).map((row) => ({ ...row, subject: row.prompt[0] })),
  );
  write("silent.jsonl", [{ input_ids: [1, 2, 3, 4], labels: [-100, -100, -100, -100] }]);
  write("strange.jsonl", [{ question: "?" }]);
  const config = { ...TINY_TEXT.llama!, vocab_size: 264 };
  writeFileSync(at("llama.json"), JSON.stringify(config));
  writeFileSync(
    at("mlp.json"),
    JSON.stringify({ model_type: "mlp", input_size: 8, hidden_sizes: [24], num_labels: 4 }),
  );
  write("far.jsonl", [{ x: [0, 0, 0, 0, 0, 0, 0, 0], label: 7 }]);
  const made = await runShell(
    `set -e
    $TRAIN --init llama.json --tokenizer byte --data forget.jsonl --data retain.jsonl --data pd.jsonl --batch-size 7 --epochs 60 --lr 0.01 -q -o base/
    $DATA blobs --classes 4 --dims 8 --separation 6 --size 200 -q -o blobs.jsonl
    grep '"label":0}' blobs.jsonl > zero.jsonl
    grep -v '"label":0}' blobs.jsonl > others.jsonl
    $TRAIN --init mlp.json --data blobs.jsonl --batch-size 20 --epochs 20 --lr 0.02 -q -o mlp/`,
    folder,
  );
  if (made.code !== 0) throw new Error(made.err);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("every method", () => {
  const METHODS: Record<string, string> = {
    altpo: "--temperature 3 --samples 2",
    "ce-u": "--skip-tokens 0",
    dpo: "",
    "grad-ascent": "",
    "grad-diff": "",
    isolate: "--layers 0-1",
    "kl-min": "",
    npo: "",
    pdu: "",
    rmu: "--c 20",
    satimp: "--forget-weight 1",
    simnpo: "--forget-weight 1",
    ssd: "",
    undial: "",
    wga: "",
  };
  test("all of them are tried here", () => {
    expect(methodNames("unlearn")).toEqual(Object.keys(METHODS).sort());
  });

  test.each(Object.entries(METHODS))("%s", async (name, options) => {
    const trains = name === "ssd" ? "" : ` --steps 12 --lr 0.005 --log ${name}.log`;
    const { err, code } = await unlearn(
      `base --method ${name} ${options} ${ROWS}${trains} -o ${name}/`.replaceAll("  ", " "),
    );
    for (const line of err.split("\n"))
      expect(line).toMatch(/^$|has no retain term here: --retain is not used|selects .* % of the weights/);
    expect(code).toBe(0);
    if (name === "ssd") return;
    const heard = steps(`${name}.log`);
    expect(heard).toHaveLength(12);
    for (const { loss, forget_loss } of heard) expect(Number.isFinite(loss! + forget_loss!)).toBe(true);
    expect(existsSync(at(`${name}-state`))).toBe(false);
  });

  test("made the rows to forget less likely", async () => {
    const names = Object.keys(METHODS);
    const loss = await measure(["base", ...names], "loss");
    expect(loss("base", "all")).toBeLessThan(0.1);
    const unmoved = names.filter((name) => !(loss(name, "forget") > loss("base", "forget") + 0.5));
    expect(unmoved).toEqual([]);
  });
});

test("sam of radius 0 and a mean of the last step alone are the method itself, bit for bit", async () => {
  const smooth = {
    plain: "",
    sam: "--smooth sam --rho 0 ",
    wa: "--smooth wa --average-from 4 --eval-data retain.jsonl ",
  };
  await Promise.all(
    Object.entries(smooth).map(async ([name, options]) => {
      const { err } = await unlearn(`base ${options}${ROWS} --steps 4 -o limit-${name}/`);
      const said =
        "unlearn: warning: --smooth wa: held-out losses and --best are of the weights on the way, not of their mean";
      expect(err).toBe(name === "wa" ? `${said}\n` : "");
    }),
  );
  expect(await apart("base", "limit-plain")).toBeGreaterThan(1e-4);
  expect(await apart("limit-plain", "limit-sam")).toBe(0);
  expect(await apart("limit-plain", "limit-wa")).toBe(0);
});

test.each(["npo", "rmu"])(
  "%s: two micro-batches of half the size are the batch, whatever rows count how many tokens",
  async (name) => {
    // Without rows to keep: those are drawn anew for every micro-batch.
    const line = `base --method ${name} --forget forget.jsonl --retain-weight 0 --no-shuffle --optimizer sgd --lr 0.05 --steps 3 -q`;
    const [one, two] = await Promise.all([
      unlearn(`${line} --batch-size 6 -o ${name}-6/`),
      unlearn(`${line} --batch-size 3 --accumulate 2 -o ${name}-3/`),
    ]);
    expect(one.err + two.err).toBe("");
    expect(await apart("base", `${name}-6`)).toBeGreaterThan(1e-3);
    expect(await apart(`${name}-6`, `${name}-3`)).toBeLessThan(1e-5);
  },
);

describe("--lora", () => {
  test("gives an adapter that forgets, and leaves the base", async () => {
    const before = bytesOf("base/model.safetensors");
    const { err, code } = await unlearn(`base --lora --lora-rank 4 ${ROWS} --steps 15 --lr 0.02 -o adapter/`);
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(bytesOf("base/model.safetensors")).toEqual(before);
    const loss = await measure(["base", "base+adapter"], "loss");
    expect(loss("base+adapter", "forget")).toBeGreaterThan(loss("base", "forget") + 1);
  });

  test("the original under --lora-continue", async () => {
    const { err, code } = await unlearn(`base+adapter --lora-continue --method kl-min ${ROWS} --steps 2 -o refused/`);
    expect(err).toStartWith(
      "unlearn: the model as it was is the base with its adapter, which --lora-continue changes\n  hint: merge the adapter",
    );
    expect(code).toBe(2);
  });

  test("needs no second model where the whole weights do", async () => {
    const memory = async (lora: string) => {
      const { text } = await unlearn(`base --method kl-min ${ROWS} ${lora}--steps 1 -n --json`);
      return JSON.parse(text).memory as Record<string, number>;
    };
    const [own, second] = await Promise.all([memory("--lora --lora-rank 4 "), memory("")]);
    expect(own.original).toBeUndefined();
    expect(second.original).toBe(second.weights!);
  });

  test.each(["undial", "rmu"])("%s: its first loss is that of the whole weights", async (name) => {
    // A fresh adapter changes nothing, so that theta is theta0 in both.
    const losses = ["plain", "adapted"].map(async (kind) => {
      const lora = kind === "adapted" ? "--lora --lora-rank 4 " : "";
      await unlearn(`base --method ${name} ${ROWS} ${lora}--steps 1 --log ${name}-${kind}.log -o ${name}-${kind}/`);
      return steps(`${name}-${kind}.log`)[0]!.loss!;
    });
    const [plain, adapted] = await Promise.all(losses);
    expect(plain).toBeGreaterThan(0);
    expect(Math.abs(adapted! - plain!)).toBeLessThan(1e-5 * plain!);
  });
});

test("a merge is unlearnt in a pipe as from a folder, and the result goes on in it", async () => {
  const { err, code } = await runShell(
    `set -e -o pipefail
    $MERGE base npo --method linear -q -o half/
    $UNLEARN half/ ${ROWS} --steps 4 --smooth sam -o filed/
    $UNLEARN half/ ${ROWS} --steps 4 --smooth sam > streamed.safetensors
    $MERGE base npo --method linear -q | $UNLEARN ${ROWS} --steps 4 --smooth sam > piped.safetensors
    $MERGE base npo --method linear -q | $UNLEARN - ${ROWS} --steps 4 --smooth sam | $MERGE - --method passthrough -q -o passed/`,
    folder,
  );
  expect(err).toBe("");
  expect(code).toBe(0);
  expect(await apart("half", "filed")).toBeGreaterThan(1e-4);
  expect(bytesOf("piped.safetensors").equals(bytesOf("streamed.safetensors"))).toBe(true);
  for (const other of ["piped.safetensors", "passed"]) expect(await apart("filed", other)).toBe(0);
});

test("lineage names the method, its options and the rows", async () => {
  const entry = async (name: string) => {
    const opened = await openPlain(at(name));
    opened.close();
    return opened.lineage.at(-1)!;
  };
  const npo = await entry("npo");
  expect(npo).toMatchObject({
    script: "unlearn",
    method: "npo",
    options: { forget: ["forget.jsonl"], retain: ["retain.jsonl"], steps: 12, lr: 0.005, batch_size: 3 },
  });
  const base = await entry("base");
  expect(npo.inputs).toMatchObject([{ ref: `run:${base.run}`, role: "model" }]);
  expect(await entry("simnpo")).toMatchObject({ method: "simnpo", options: { forget_weight: 1 } });
  expect(await entry("ssd")).toMatchObject({
    script: "unlearn",
    method: "ssd",
    options: { forget: ["forget.jsonl"], retain: ["retain.jsonl"] },
  });
});

describe("--dry-run", () => {
  test("says what a run would take, and writes nothing", async () => {
    const plan = async (line: string) => {
      const { text, code } = await unlearn(`${line} -n --json -o never/`);
      expect(code).toBe(0);
      expect(existsSync(at("never"))).toBe(false);
      return JSON.parse(text);
    };
    expect(await plan(`base ${ROWS} --epochs 3`)).toMatchObject({
      steps: 6,
      steps_per_epoch: 2,
      groups: [{ name: "forget", rows: 6 }],
    });
    expect(await plan(`base ${ROWS} --epochs 2 --anchor retain`)).toMatchObject({
      steps: 6,
      steps_per_epoch: 3,
      groups: [{ name: "retain", rows: 9 }],
    });
    expect(await plan(`base --method ssd ${ROWS}`)).toEqual({ forget: 6, retain: 9, rows: 1 });
    expect(await plan(`base --method ssd --fisher batch ${ROWS}`)).toEqual({ forget: 2, retain: 3, rows: 3 });
    expect(await plan("importance base --retain retain.jsonl")).toEqual({ batches: 9, rows: 1 });
  });
});

describe("ssd", () => {
  const ALL = "--retain forget.jsonl --retain retain.jsonl";

  test("importances are saved once and reused: same bytes by file and by pipe, near what is measured anew", async () => {
    const { err, code } = await runShell(
      `set -e -o pipefail
      $UNLEARN importance base ${ALL} -q -o importance.safetensors
      $MERGE base --method passthrough -q | $UNLEARN importance - ${ALL} -q > piped-importance.safetensors
      $UNLEARN base --method ssd --alpha 1.5 --importance importance.safetensors --forget forget.jsonl -q --json -o saved/ > saved.json
      $UNLEARN base --method ssd --alpha 1.5 ${ROWS} --json -o anew/ > anew.json`,
      folder,
    );
    expect(code).toBe(0);
    for (const line of err.split("\n")) expect(line).toMatch(/^$|alpha 1.5 selects .* % of the weights/);
    expect(bytesOf("piped-importance.safetensors").equals(bytesOf("importance.safetensors"))).toBe(true);
    expect(await apart("base", "saved")).toBeGreaterThan(0.01);
    // The mean over all rows and the shares of two means are one number, rounded otherwise.
    expect(await apart("saved", "anew")).toBeLessThan(1e-4);
    const told = (name: string) => JSON.parse(readFileSync(at(name), "utf8"));
    expect(told("saved.json")).toEqual(told("anew.json"));
  });

  test("--freeze and --train-only choose what may be dampened", async () => {
    const { code } = await unlearn(`base --method ssd --train-only *.mlp.* ${ROWS} -o only/`);
    expect(code).toBe(0);
    for (const [name, difference] of Object.entries(await differences("base", "only"))) {
      if (name.includes(".mlp.")) expect(difference).toBeGreaterThan(0);
      else expect(difference).toBe(0);
    }
  });

  test("says when nothing was selected", async () => {
    const { err, code } = await unlearn(`base --method ssd --alpha 3 ${ROWS} -o untouched/`);
    expect(code).toBe(0);
    expect(err).toBe(
      "unlearn: warning: alpha 3 is not below 2.50, all rows over those to forget: with --fisher sample nothing can be selected\n" +
        "unlearn: warning: alpha 3 selects no weight: the model is as it was; give a smaller --alpha\n",
    );
    expect(await apart("base", "untouched")).toBe(0);
  });
});

test("isolate trains the chosen matrices and leaves every bit of the others", async () => {
  const { err } = await unlearn(`base --method isolate --layers 1 --part attn ${ROWS} --steps 3 -o isolated/`);
  expect(err).toBe("");
  for (const [name, difference] of Object.entries(await differences("base", "isolated"))) {
    if (name.includes(".1.self_attn.")) expect(difference).toBeGreaterThan(0);
    else expect(difference).toBe(0);
  }
});

test("isolate --layers auto trains the blocks that tracing names, and leaves every bit of the others", async () => {
  const traced = await run("evaluate", "base --data forget=named.jsonl --probe trace --json -q");
  const { layers } = JSON.parse(traced.text).rows[0];
  expect(layers).toBe("0-0");
  const line = "base --method isolate --forget named.jsonl --retain retain.jsonl --batch-size 3 --steps 3";
  const { err } = await unlearn(`${line} --layers auto -o auto/`);
  expect(err).toContain("traced 6 rows; training block 0\n");
  await unlearn(`${line} --layers ${layers} -q -o given/`);
  expect(await apart("auto", "given")).toBe(0);
  expect(await apart("auto", "base")).toBeGreaterThan(0);
  // What is given to be trained needs no tracing.
  const only = await unlearn(`${line} --layers auto --train-only *.1.mlp.* -o only-mlp/`);
  expect(only.err).not.toContain("traced");
  expect((await differences("base", "only-mlp"))["model.layers.0.mlp.up_proj.weight"]).toBe(0);
});

test("--pd counts, and its weight of 0 does not", async () => {
  const line = `base --method grad-ascent --forget forget.jsonl --batch-size 3 -q --steps 4`;
  for (const [name, more] of [
    ["alone", ""],
    ["pd-0", " --pd pd.jsonl --pd-weight 0"],
    ["pd-1", " --pd pd.jsonl --pd-weight 1 --log pd.log"],
  ])
    expect((await unlearn(`${line}${more} -o ${name}/`)).err).toBe("");
  expect(await apart("alone", "pd-0")).toBeLessThan(1e-6);
  expect(await apart("alone", "pd-1")).toBeGreaterThan(1e-4);
  for (const { loss, forget_loss, pd_loss } of steps("pd.log")) expect(loss).toBeCloseTo(forget_loss! + pd_loss!, 4);
});

test("--dry-run tells the memory that the run then takes", async () => {
  const methods = [
    "npo",
    "dpo",
    "altpo --temperature 2",
    "undial --retain-weight 1",
    ...["cr", "wa"].map((s) => `npo --smooth ${s}`),
  ];
  for (const [i, method] of methods.entries()) {
    const line = `base --method ${method} ${ROWS} --steps 2 --lr 0.005`;
    const told = JSON.parse((await unlearn(`${line} --dry-run --json`)).text).memory.total;
    expect((await unlearn(`${line} --log memory-${i}.log -o memory/`)).err).toBe("");
    const taken = Math.max(...steps(`memory-${i}.log`).map(({ gpu_bytes }) => gpu_bytes!));
    // altpo plans for the longest answers there may be.
    expect([method, taken <= 1.01 * told, taken >= (method.startsWith("altpo") ? 0.7 : 0.99) * told]).toEqual([
      method,
      true,
      true,
    ]);
  }
});

describe("classifiers", () => {
  const METHODS = ["grad-diff", "kl-min", "wga", "ssd"];
  test.each(METHODS)("%s forgets a class", async (name) => {
    const how = name === "ssd" ? "--alpha 2 --fisher batch --batch-size 50" : "--steps 40 --lr 0.005 --batch-size 10";
    const { err, code } = await unlearn(
      `mlp --method ${name} ${how} --forget zero.jsonl --retain others.jsonl -q -o mlp-${name}/`,
    );
    expect(code).toBe(0);
    for (const line of err.split("\n")) expect(line).toMatch(/^$|selects .* % of the weights/);
  });

  test("without losing the others", async () => {
    const models = METHODS.map((name) => `mlp-${name}`);
    const data = "--data forget=zero.jsonl --data retain=others.jsonl";
    const accuracy = await measure(["mlp", ...models], "accuracy", data);
    expect(accuracy("mlp", "all")).toBeGreaterThan(0.99);
    for (const model of models) {
      expect(accuracy(model, "forget")).toBeLessThan(0.5);
      expect(accuracy(model, "retain")).toBeGreaterThan(0.9);
    }
  });
});

describe("refusals", () => {
  test.each([
    ["base other", "unexpected argument other", "it takes [model]"],
    ["importance base other", "unexpected argument other", "it takes [model]"],
    ["nothing", "nothing: no such file or folder", "check the spelling"],
    ["base --method nppo", "--method: unknown method nppo", "did you mean npo?"],
    ["base --forget lost.jsonl", "lost.jsonl does not exist", "give a JSONL file"],
    ["base --forget strange.jsonl", "strange.jsonl:1: unknown row with the keys question", "a row holds text"],
    ["base --forget silent.jsonl", "the group silent has 4 tokens, and the loss would count none of them", ""],
    ["base ~forget", "--forget is missing", "for example --forget rows.jsonl"],
    ["base ~retain", "--retain is missing", "give rows to keep, or --retain-weight 0 for npo without them"],
    ["base ~retain --method ssd", "--retain is missing", "ssd compares the rows to forget with the others"],
    ["importance base ~retain", "--retain is missing", "for example --retain rows.jsonl"],
    ["base ~retain --method grad-ascent --anchor retain", "--anchor retain needs --retain", ""],
    ["base --forget-weight 0 --retain-weight 0", "--forget-weight 0 leaves npo nothing to learn", ""],
    ["base --method pdu --retain-loss none", "--retain-loss none leaves pdu nothing to follow", "its retain weight"],
    ["base --rho 0.1", "--rho has no effect without --smooth cr, gp, rs or sam", "give both or neither"],
    ["base --rho 0.1 --smooth wa", "wa has no option --rho", "smoothings with --rho: cr, gp, rs, sam"],
    [
      "base --smooth sam --smooth-weight 3",
      "sam has no option --smooth-weight",
      "smoothings with --smooth-weight: cr, gp",
    ],
    ["base --smooth sam --average-from 2", "sam has no option --average-from", "smoothings with --average-from: wa"],
    ["base --pd-weight 1", "--pd-weight has no effect without --pd", "give both or neither"],
    ["base --answers refusal", "--answers has no effect with --method npo", "it is for dpo"],
    ["base --method altpo --answers refusal", "--answers has no effect with --method altpo", "it is for dpo"],
    [
      "base --method altpo --temperature 0.01",
      "every sampled answer is the one to forget",
      "raise --temperature, give an --instruction, or write other answers and take --method dpo --answers alternative",
    ],
    [
      "base --method altpo --max-length 12 --instruction Answer!otherwise!",
      "forget.jsonl:1: the prompt leaves no room for an answer in 12 tokens",
      "shorten it, or raise --max-length",
    ],
    ["base --method dpo --forget -", "rows from stdin cannot be read twice, as dpo asks for", "write them to a file"],
    ["base --smooth wa --average-from 9", "--average-from 9: the run has 2 steps", ""],
    ["base --method isolate --lora", "isolate chooses the weights it trains, and --lora trains others", "leave out"],
    ["base --method isolate --layers 0-5", "--layers 0-5 is no range of blocks", "the model has 0-1"],
    [
      "base --method isolate --layers auto --forget whole.jsonl",
      "whole.jsonl:1: tracing follows a prompt to its answer, and the row has no prompt",
      "rows hold prompt and completion",
    ],
    ["base --method isolate --layers auto --forget -", "rows from stdin cannot be read twice, as tracing asks for", ""],
    [
      "base --method isolate --layers auto --forget first.jsonl",
      "--layers auto: no block's MLP brings an answer back at the last token of its subject",
      "see what does with bun run evaluate --probe trace, and say which blocks",
    ],
    ["base --method rmu --layer 2", "--layer 2: the model has blocks 0 to 1", ""],
    ["base --skip-tokens 50", "the first 50 tokens left out, no row of --forget has any", "give a smaller"],
    ["base --method dpo --answers alternative", "forget.jsonl:1: the row has no alternative", "add a field"],
    [
      "base --method altpo --forget whole.jsonl",
      "whole.jsonl:1: altpo needs rows of prompt and completion, found a row of text",
      "",
    ],
    [
      "base --method dpo --forget tokens.jsonl",
      "tokens.jsonl:1: dpo needs rows of prompt and completion, found a row of tokens",
      "",
    ],
    ["base --method ssd --lora", "an edit changes weights, not an adapter", "leave out --lora"],
    ["base --method ssd --smooth sam", "--smooth is for methods that train", "leave it out"],
    [
      "base --method ssd --importance mlp/model.safetensors ~retain",
      "mlp/model.safetensors has no importances of model.embed_tokens.weight (264, 24)",
      "it was measured on another model",
    ],
    ["mlp --forget zero.jsonl --retain others.jsonl", "npo is for language models; this is a classifier", "grad-diff"],
    [
      "mlp --method ssd --forget far.jsonl --retain others.jsonl",
      "far.jsonl:1: label 7, but the model has 4 classes",
      "",
    ],
    [
      "mlp --method grad-diff --forget zero.jsonl --retain far.jsonl",
      "far.jsonl:1: label 7, but the model has 4 classes",
      "",
    ],
    [
      "mlp --method grad-diff --forget zero.jsonl --retain others.jsonl --pd pd.jsonl",
      "--pd is for language models; this is a classifier",
      "",
    ],
  ])("%s", async (argv, message, hint) => {
    const own = (flag: string, file: string) =>
      argv.includes(`~${flag}`) || argv.includes(`--${flag} `) || argv.startsWith("importance")
        ? ""
        : ` --${flag} ${file}`;
    const rows = `${own("forget", "forget.jsonl")}${own("retain", "retain.jsonl")}`;
    const steps = argv.includes("ssd") || argv.includes("importance") ? "" : " --steps 2";
    const { err, code } = await unlearn(`${argv.replace(/ ~\w+/, "")}${rows}${steps} -q -o refused/`);
    const [first, second = ""] = err.split("\n");
    expect(first).toBe(`unlearn: ${message}`);
    expect(second).toStartWith(hint && `  hint: ${hint}`);
    expect(code).toBe(2);
    expect(existsSync(at("refused"))).toBe(false);
  });
});

describe("a run that was killed goes on as if it had not been", () => {
  const RUNS = {
    npo: "--method npo",
    pdu: "--method pdu",
    isolate: "--method isolate --layers 0-1",
    // What the run has forgotten by then would be traced to other blocks, or to none.
    auto: "--method isolate --layers auto --forget named.jsonl",
    // What it has forgotten by then would not be sampled again.
    altpo: "--method altpo --temperature 2",
    sam: "--method npo --smooth sam",
    wa: "--method npo --smooth wa --average-from 3",
  };
  test.each(Object.entries(RUNS))("%s", async (name, method) => {
    const rows = method.includes("--forget") ? ROWS.replace("--forget forget.jsonl ", "") : ROWS;
    const line = `base ${method} ${rows} --steps 12 --lr 0.005 --save-every 1`;
    const log = `${name}-cut.log`;
    const resume = `${line} -o ${name}-cut/ --resume --log ${log}`;
    const whole = unlearn(`${line} -o ${name}-whole/`);
    const child = startScript("unlearn", resume.split(" "), folder);
    while (child.exitCode === null && !steps(log).some(({ step }) => step! >= 5)) await Bun.sleep(2);
    expect(child.exitCode).toBeNull();
    child.kill(9);
    await child.exited;
    expect(existsSync(at(`${name}-cut-state`))).toBe(true);
    expect((await unlearn(resume)).err).toBe("");
    const went = steps(log).map(({ step }) => step);
    expect(went.filter((step) => step === 1)).toHaveLength(1);
    expect(went.at(-1)).toBe(12);
    expect((await whole).err).toBe("");
    expect(bytesOf(`${name}-cut/model.safetensors`).equals(bytesOf(`${name}-whole/model.safetensors`))).toBe(true);
    expect(existsSync(at(`${name}-cut-state`))).toBe(false);
  });
});
