/** The distill script as a user runs it, on tiny models. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { methodNames } from "../../src/method/registry.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { runScript, runShell, startScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../support/tiny-models.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-distill-"));
const at = (name: string) => join(folder, name);
const distill = (line: string) => runScript("distill", line.split(" "), folder);
const bytesOf = (name: string) => readFileSync(at(name));
const LLAMA = TINY_TEXT.llama!;
const SMALL = { ...LLAMA, hidden_size: 16, head_dim: 8, num_hidden_layers: 1 };

const tokenizer = (tokens: readonly string[]) =>
  JSON.stringify({
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
  });
const letters = (n: number, from = 0x100) => Array.from({ length: n }, (_, i) => String.fromCodePoint(from + i));

/** `broken` names a weight that is made NaN. */
async function make(
  name: string,
  config: Json,
  seed: number,
  files: Record<string, string> = {},
  broken?: string,
): Promise<void> {
  const model = await Model.fresh(await sharedGpu(), config, name, { seed });
  if (broken)
    model.parameters.get(broken)!.write(new Float32Array(model.parameters.get(broken)!.size).fill(Number.NaN));
  const texts = Object.entries({ "config.json": JSON.stringify(config), ...files });
  await saveModel(model, at(`${name}/`), {
    files: new Map(texts.map(([file, text]) => [file, new TextEncoder().encode(text)])),
    lineage: [],
  });
  model.free();
}

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

/** Largest difference between two checkpoints, relative to the largest value of the tensor. */
async function apart(one: string, other: string): Promise<number> {
  const [a, b] = [await tensorsOf(one), await tensorsOf(other)];
  expect([...b.keys()]).toEqual([...a.keys()]);
  let worst = 0;
  for (const [name, values] of a) {
    const most = values.reduce((x, y) => Math.max(x, Math.abs(y)), 1e-30);
    const error = values.reduce((x, y, i) => Math.max(x, Math.abs(y - b.get(name)![i]!)), 0);
    worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / most);
  }
  return worst;
}

const steps = (log: string): Record<string, number>[] =>
  existsSync(at(log))
    ? readFileSync(at(log), "utf8")
        .split("\n")
        .filter((line) => line.includes('"event":"step"') && line.endsWith("}"))
        .map((line) => JSON.parse(line))
    : [];

beforeAll(async () => {
  await make("large", LLAMA, 1);
  await make("other", LLAMA, 5);
  await make("small", SMALL, 2);
  await make("broken", LLAMA, 1, {}, "model.norm.weight");
  await make("mlp-large", TINY_EXAMPLES.mlp!, 3);
  await make("mlp-small", { ...TINY_EXAMPLES.mlp!, hidden_sizes: [4] }, 4);
  await make("mlp-wide", { ...TINY_EXAMPLES.mlp!, num_labels: 4 }, 4);
  await make("named", { ...SMALL, vocab_size: 50 }, 6, { "tokenizer.json": tokenizer(letters(48)) });
  await make("padded", { ...LLAMA, vocab_size: 56 }, 7, { "tokenizer.json": tokenizer(letters(48)) });
  await make("foreign", LLAMA, 8, { "tokenizer.json": tokenizer(letters(48, 0x200)) });
  await make("wordy", { ...LLAMA, vocab_size: 56 }, 9, { "tokenizer.json": tokenizer(letters(54)) });
  await make("reversed", LLAMA, 10, { "tokenizer.json": tokenizer(letters(48).reverse()) });
  const unit = randomUnits(11);
  const rows = Array.from({ length: 12 }, (_, i) => {
    const ids = Array.from({ length: 8 + ((5 * i) % 9) }, () => Math.floor(unit() * 48));
    return JSON.stringify(
      i % 3 === 0 ? { input_ids: ids, labels: ids.map((id, t) => (t < 4 ? -100 : id)) } : { input_ids: ids },
    );
  });
  writeFileSync(at("rows.jsonl"), `${rows.join("\n")}\n`);
  writeFileSync(
    at("silent.jsonl"),
    `${JSON.stringify({ input_ids: [1, 2, 3, 4], labels: [-100, -100, -100, -100] })}\n{"input_ids": [1, 2, 3]}\n`,
  );
  const points = Array.from({ length: 20 }, (_, i) =>
    JSON.stringify({ x: Array.from({ length: 7 }, () => 2 * unit() - 1), label: i % 3 }),
  );
  writeFileSync(at("points.jsonl"), `${points.join("\n")}\n`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TEXT = "--data rows.jsonl --batch-size 4 -q";

describe("every method runs", () => {
  const methods = [
    "akl",
    "attention",
    "bd-kd",
    "competitive",
    "dual-head",
    "hidden",
    "jsd",
    "kd",
    "lssd",
    "mtard",
    "reverse-kl",
    "self-further",
    "seq-kd",
    "skew-kl",
    "skew-rkl",
    "taid",
    "tvd",
    "uld",
  ];
  test("all of them are tried here", () => {
    expect(methodNames("distill")).toEqual([...methods].sort());
  });

  test.each(methods)(
    "%s",
    async (name) => {
      const teachers = { mtard: "large other", uld: "reversed" }[name] ?? "large";
      const student = { "self-further": "other", uld: "named" }[name] ?? "small";
      const { err, code } = await distill(
        `${teachers} --student ${student} --method ${name} ${TEXT} --steps 3 --sample-tokens 6 --log ${name}.log -o ${name}/`,
      );
      expect(err).toBe("");
      expect(code).toBe(0);
      expect(await apart(`${student}/model.safetensors`, `${name}/model.safetensors`)).toBeGreaterThan(1e-4);
      const heard = steps(`${name}.log`);
      expect(heard).toHaveLength(3);
      for (const { loss } of heard) expect(loss).toBeGreaterThan(0);
      expect(existsSync(at(`${name}-state`))).toBe(false);
    },
    30_000,
  );
});

test.each(["kd", "reverse-kl", "jsd", "tvd", "skew-kl", "skew-rkl", "akl"])(
  "--teacher self is no loss at first: %s",
  async (name) => {
    const { err } = await distill(
      `--teacher self --student large --method ${name} ${TEXT} --steps 1 --optimizer sgd --log self-${name}.log -o self-${name}.safetensors`,
    );
    expect(err).toBe("");
    const [first] = steps(`self-${name}.log`);
    expect(Math.abs(first!.loss!)).toBeLessThan(1e-6);
    expect(await apart("large/model.safetensors", `self-${name}.safetensors`)).toBeLessThan(1e-6);
  },
  30_000,
);

describe("--teacher self", () => {
  const line = `--method lssd ${TEXT} --steps 4 --lr 0.01`;

  test("is the student as it was, whether read from a folder, a stream, or named", async () => {
    const { err, code } = await runShell(
      `$DISTILL --teacher self --student large ${line} > self.safetensors && $DISTILL --teacher large --student large ${line} > named.safetensors && $MERGE large --method passthrough -q | $DISTILL --teacher self ${line} > streamed.safetensors`,
      folder,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await apart("named.safetensors", "self.safetensors")).toBe(0);
    expect(await apart("self.safetensors", "streamed.safetensors")).toBe(0);
  }, 40_000);

  test("with --lora holds no second model, and equals a run with one", async () => {
    const lora = `${line} --lora --lora-rank 3`;
    const memory = async (teacher: string) => {
      const { text } = await distill(`--teacher ${teacher} --student large ${lora} -n --json`);
      return JSON.parse(text).memory as Record<string, number>;
    };
    const [own, second] = [await memory("self"), await memory("large")];
    expect(own.teachers).toBeUndefined();
    expect(second.teachers).toBeGreaterThan(0);
    expect(own.weights).toBe(second.weights!);
    expect(own.total!).toBeLessThanOrEqual(second.total! - second.teachers!);
    for (const teacher of ["self", "large"]) {
      const { err } = await distill(`--teacher ${teacher} --student large ${lora} -o lora-${teacher}/`);
      expect(err).toBe("");
    }
    expect(await apart("lora-self/adapter_model.safetensors", "lora-large/adapter_model.safetensors")).toBeLessThan(
      1e-5,
    );
  }, 40_000);

  test("with --lora-continue is the base too", async () => {
    const { err } = await distill(`--teacher self --student large+lora-self --lora-continue ${line} -o lora-on/`);
    expect(err).toBe("");
    const other = await distill(`--teacher large --student large+lora-self --lora-continue ${line} -o lora-on-named/`);
    expect(other.err).toBe("");
    expect(await apart("lora-on/adapter_model.safetensors", "lora-on-named/adapter_model.safetensors")).toBeLessThan(
      1e-5,
    );
  }, 40_000);

  test("of a model made afresh is that model", async () => {
    writeFileSync(at("small.json"), JSON.stringify(SMALL));
    const { err } = await distill(`--teacher self --init small.json ${TEXT} --steps 1 --log fresh.log -o fresh/`);
    expect(err).toBe("");
    expect(Math.abs(steps("fresh.log")[0]!.loss!)).toBeLessThan(1e-6);
  }, 30_000);
});

describe("vocabularies", () => {
  test("padding rows are recognised, and said", async () => {
    for (const [teacher, student] of [
      ["padded", "named"],
      ["named", "padded"],
    ]) {
      const { err, code } = await distill(
        `${teacher} --student ${student} --data rows.jsonl --batch-size 4 --method dual-head --label-weight 0 --steps 2 -o ${student}-out/`,
      );
      expect(code).toBe(0);
      expect(err).toMatch(/the vocabularies of 5[06] and 5[06] share 50 outputs; the others are padding/);
    }
  }, 40_000);

  test.each([
    ["foreign", 'token 0 is "Ā" to named/ and "Ȁ" to foreign/'],
    ["wordy", "named/ has 50 outputs, wordy/ 56, and 4 tokens lie beyond 50"],
  ])(
    "%s is another one",
    async (teacher, message) => {
      const { err, code } = await distill(`${teacher}/ --student named/ ${TEXT} --steps 2 -o refused/`);
      expect(err).toContain(`distill: ${message}\n  hint: take --method uld, or let the teacher write text`);
      expect(code).toBe(2);
      expect(existsSync(at("refused"))).toBe(false);
    },
    30_000,
  );

  test("different widths without tokenizers are refused", async () => {
    const { err, code } = await distill(`padded/ --student small/ ${TEXT} --steps 2 -o refused/`);
    expect(err).toContain(
      "distill: small/ has 50 outputs, padded/ 56, and one of them has no tokenizer to compare\n  hint: add tokenizer.json",
    );
    expect(code).toBe(2);
  }, 30_000);

  test("classes of another number are refused", async () => {
    const { err, code } = await distill("mlp-wide/ --student mlp-small/ --data points.jsonl --steps 2 -o refused/");
    expect(err).toContain("distill: mlp-small/ has 3 classes, the teacher mlp-wide/ 4\n");
    expect(code).toBe(2);
  }, 30_000);
});

describe("a teacher with another tokenizer", () => {
  const line = `--method uld ${TEXT} --steps 3 --label-weight 0`;

  test("is the same teacher, whatever numbers it gives its tokens", async () => {
    // The tokens of "spoken" in the order of those of "named": the rows of its embedding and head change places.
    const opened = await tensorsOf("reversed/model.safetensors");
    const order = Array.from({ length: 50 }, (_, id) => (id < 48 ? 47 - id : id));
    const entries = [...opened].map(([name, values]) => {
      const width = values.length / 50;
      const rows = /embed_tokens|lm_head/.test(name);
      const moved = order.flatMap((id) => [...values.subarray(id * width, (id + 1) * width)]);
      return [name, rows ? Float32Array.from(moved) : values] as const;
    });
    const model = await Model.fresh(await sharedGpu(), LLAMA, "spoken", { seed: 10 });
    for (const [name, values] of entries) model.parameters.get(name)!.write(values);
    const files = Object.entries({ "config.json": JSON.stringify(LLAMA), "tokenizer.json": tokenizer(letters(48)) });
    await saveModel(model, at("spoken/"), {
      files: new Map(files.map(([file, text]) => [file, new TextEncoder().encode(text)])),
      lineage: [],
    });
    model.free();
    for (const teacher of ["reversed", "spoken"]) {
      const { err, code } = await distill(`${teacher} --student named ${line} -o uld-${teacher}/`);
      expect(err).toBe("");
      expect(code).toBe(0);
    }
    expect(await apart("named/model.safetensors", "uld-spoken/model.safetensors")).toBeGreaterThan(1e-3);
    expect(await apart("uld-spoken/model.safetensors", "uld-reversed/model.safetensors")).toBeLessThan(1e-3);
  }, 40_000);

  test("is heard on the student's own samples, in packed rows, and from a stream", async () => {
    const { err, code } = await runShell(
      `$DISTILL reversed --student named ${line} --on-policy 1 --sample-tokens 4 --log uld-own.log -o uld-own/ && $MERGE reversed --method passthrough -q | $DISTILL --student named ${line} --pack --log uld-packed.log -o uld-packed/`,
      folder,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    for (const log of ["uld-own.log", "uld-packed.log"]) {
      const heard = steps(log);
      expect(heard).toHaveLength(3);
      for (const { distill } of heard) expect(distill).toBeGreaterThan(0.01);
    }
  }, 40_000);

  test.each([
    ["self --student named", "uld is for a teacher with another tokenizer\n  hint: take --method kd"],
    ["reversed --student small", "small has no tokenizer, and the same places of a text are found by those of both"],
    ["large --student named", "large has no tokenizer, and the same places"],
    [
      "reversed --student named --teacher-samples 1",
      "a teacher with another tokenizer does not answer in the student's",
    ],
    ["reversed --student named --cache x.safetensors", "both --teacher and --cache say what to learn from"],
    ["mlp-large --student mlp-small --data points.jsonl --method uld", "uld is for language models"],
  ])(
    "%s is refused",
    async (argv, message) => {
      const { err, code } = await distill(`${argv} ${argv.includes("--data") ? "-q" : line} -o refused/`);
      expect(err).toContain(`distill: ${message}`);
      expect(code).toBe(2);
    },
    30_000,
  );
});

describe("dual-head --grad-align", () => {
  // These two disagree at once.
  const line =
    "other --student small --method dual-head --data rows.jsonl --no-shuffle -q --steps 3 --optimizer sgd --lr 0.05";

  test("is one step however its rows are cut, and another one than without", async () => {
    for (const [name, how] of [
      ["whole", "--grad-align --batch-size 4"],
      ["halves", "--grad-align --batch-size 2 --accumulate 2"],
      ["plain", "--batch-size 4"],
    ]) {
      const { err, code } = await distill(`${line} ${how} --log align-${name}.log -o align-${name}/`);
      expect(err).toBe("");
      expect(code).toBe(0);
    }
    expect(await apart("align-whole/model.safetensors", "align-halves/model.safetensors")).toBeLessThan(2e-6);
    expect(await apart("align-whole/model.safetensors", "align-plain/model.safetensors")).toBeGreaterThan(3e-5);
    // Losses of a step are those before it: of the first both are the same.
    const [first, plain] = [steps("align-whole.log")[0]!, steps("align-plain.log")[0]!];
    for (const name of ["loss", "distill", "cross_entropy"])
      expect(Math.abs(first[name]! / plain[name]! - 1)).toBeLessThan(1e-5);
  }, 40_000);

  test("says what memory it takes, and takes none where one loss counts for nothing", async () => {
    const memory = async (how: string) => {
      const { text } = await distill(`${line} --grad-align ${how} -n --json`);
      return (JSON.parse(text) as { memory: Record<string, number> }).memory.alignment;
    };
    expect(await memory("--batch-size 4")).toBeGreaterThan(0);
    expect(await memory("--batch-size 4 --label-weight 0")).toBeUndefined();
  }, 30_000);
});

describe("refusals", () => {
  test.each([
    ["--teacher - --student -", "student and teacher are both read from stdin\n  hint: name one of them"],
    ["--teacher -", "student and teacher are both read from stdin"],
    ["", "no teacher was named\n  hint: give --teacher MODEL, or --cache FILE"],
    ["large other --student small", "kd takes 1 teachers, got 2\n  hint: several teachers: --method mtard"],
    ["large --student small --init small.json", "both --student and --init say what learns"],
    ["large --student small --cache x.safetensors", "both --teacher and --cache say what to learn from"],
    ["--student small --cache x.safetensors --method akl", "akl needs the whole distribution; a cache holds the top k"],
    [
      "large --student small --method mtard",
      "mtard takes 2 to 8 teachers, got 1\n  hint: give --teacher once for each",
    ],
    [
      "large --student small --method bd-kd --teacher-out x/",
      "--teacher-out has no effect without --online\n  hint: give both or neither",
    ],
    ["large --student small --top 3", "--top has no effect without distill cache"],
    ["cache large --method taid", "--method has no effect in distill cache"],
    ["cache large", "--steps has no effect in distill cache"],
    ["large --student small --online", "kd does not train the teacher"],
    ["large --student small --online --method bd-kd", "--online needs a teacher of its own and --teacher-out"],
    ["large --student small --method hidden --layers 1", '--layers: "1" is not a pair of layers'],
    [
      "large --student small --method hidden --layers 2:1",
      "--layers: the student has no layer 2\n  hint: it has 0 to 1, and last",
    ],
    [
      "large --student small --method attention --layers 0:1",
      "--layers: the student has no attention in layer 0\n  hint: it has 1 to 1, and last",
    ],
    [
      "mlp-large --student mlp-small --data points.jsonl --method attention",
      "the student has no attention\n  hint: take --method hidden",
    ],
    ["large --student small --method self-further", "self-further: the teacher is 24 wide, the student 16"],
    ["large --student small --distill-weight 0", "--distill-weight and --label-weight are both 0"],
    [
      "large --student small --smoothing 0.1",
      "--smoothing is of the labels' cross-entropy, which counts for nothing here",
    ],
    ["large --student small --pack --on-policy 0.5", "--pack and samples do not go together"],
    ["self --student large --lora --method seq-kd", "the base under an adapter does not sample"],
    [
      "mlp-large --student mlp-small --data points.jsonl --method hidden --layers 1:1",
      "--layers 1:1: the student's is 4 wide, the teacher's 9\n  hint: choose layers as wide as the last: 4 and 5",
    ],
    ["mlp-large --student small", "the teacher mlp-large is a classifier, the student a causal-lm"],
  ])(
    "%s",
    async (argv, message) => {
      const { err, code } = await distill(
        `${argv ? `${argv} ` : ""}${argv.includes("--data") ? "-q" : TEXT} --steps 2 -o refused/`,
      );
      expect(err).toContain(`distill: ${message}`);
      expect(code).toBe(2);
      expect(existsSync(at("refused"))).toBe(false);
    },
    30_000,
  );

  test("a classifier samples nothing", async () => {
    const { err, code } = await distill("mlp-large --student mlp-small --data points.jsonl --on-policy 1 -o refused/");
    expect(err).toContain("distill: a classifier samples nothing");
    expect(code).toBe(2);
  });
});

describe("streams", () => {
  test("a merge is taught from, and the student goes on in the pipe", async () => {
    const { err, code } = await runShell(
      `$MERGE large other --method linear -q | $DISTILL --student small ${TEXT} --steps 2 > taught.safetensors && $MERGE large other --method linear -q -o merged/ && $DISTILL merged/ --student small ${TEXT} --steps 2 -o taught/`,
      folder,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await apart("taught.safetensors", "taught/model.safetensors")).toBe(0);
  }, 40_000);

  test("a student out of a stream", async () => {
    const { err, code } = await runShell(
      `$MERGE small --method passthrough -q | $DISTILL large ${TEXT} --steps 2 > one.safetensors && $DISTILL large --student small ${TEXT} --steps 2 > two.safetensors`,
      folder,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await apart("one.safetensors", "two.safetensors")).toBe(0);
  }, 40_000);
});

describe("a cache", () => {
  test("says how much of the teacher's probability it holds", async () => {
    const of = async (k: number) => {
      const { err, code } = await runShell(
        `$DISTILL cache --teacher large --data rows.jsonl --top ${k} -o top-${k}.safetensors`,
        folder,
      );
      expect(code).toBe(0);
      return Number(new RegExp(`the ${k} hold ([\\d.]+) % of the teacher's probability`).exec(err)![1]);
    };
    expect(await of(50)).toBe(100);
    const [one, ten] = [await of(1), await of(10)];
    expect(one).toBeGreaterThan(100 / 50);
    expect(ten).toBeGreaterThan(one);
    expect(ten).toBeLessThan(100);
  });

  test("of everything teaches as the teacher does; its bytes are told beforehand", async () => {
    const plan = await distill(`cache large --data rows.jsonl --top 50 -n --json`);
    expect(JSON.parse(plan.text).rows).toBe(12);
    const made = await runShell(
      "$DISTILL cache --teacher large --data rows.jsonl --top 50 --batch-size 5 -q > all.safetensors && $MERGE large --method passthrough -q | $DISTILL cache - --data rows.jsonl --top 50 --batch-size 5 -q -o again.safetensors",
      folder,
    );
    expect(made.err).toBe("");
    expect(made.code).toBe(0);
    const [one, two] = [await openPlain(at("all.safetensors")), await openPlain(at("again.safetensors"))];
    for (const entry of one.tensors.values()) {
      const [a, b] = [new Uint8Array(entry.bytes), new Uint8Array(entry.bytes)];
      await entry.read(a, 0);
      await two.tensors.get(entry.name)!.read(b, 0);
      expect(b).toEqual(a);
    }
    one.close();
    two.close();
    for (const method of ["kd --temperature 2", "taid"]) {
      const name = method.split(" ")[0]!;
      const live = await distill(
        `large --student small ${TEXT} --steps 4 --optimizer sgd --lr 0.05 --method ${method} -o live-${name}/`,
      );
      expect(live.err).toBe("");
      const cached = await distill(
        `--cache all.safetensors --student small ${TEXT} --steps 4 --optimizer sgd --lr 0.05 --method ${method} -o cached-${name}/`,
      );
      expect(cached.err).toBe("");
      expect(await apart(`live-${name}/model.safetensors`, `cached-${name}/model.safetensors`)).toBeLessThan(2e-5);
    }
  }, 60_000);

  test("--json says what was written; a teacher without numbers writes nothing", async () => {
    const { text, err, code } = await distill("cache large --data rows.jsonl --top 3 -q --json -o told.safetensors");
    expect(err).toBe("");
    expect(code).toBe(0);
    const told = JSON.parse(text);
    expect(told).toMatchObject({ file: "told.safetensors", rows: 12, k: 3 });
    expect(told.groups).toEqual([{ name: "rows", rows: 12, tokens: told.tokens }]);
    expect(told.bytes).toBeGreaterThan(1000);
    expect(told.mass).toBeLessThan(1);
    const odd = await distill("cache large --student small --data rows.jsonl -q -o never.safetensors");
    expect(odd.err).toContain("distill: --student has no effect in distill cache\n  hint: leave it out");
    expect(odd.code).toBe(2);
    const broken = await distill("cache broken --data rows.jsonl --top 3 -q -o never.safetensors");
    expect(broken.err).toContain("distill: broken: the logits of rows.jsonl:1, token 0, are not finite\n  hint: ");
    expect(broken.code).toBe(1);
    expect(existsSync(at("never.safetensors"))).toBe(false);
  }, 30_000);

  test("does not know other rows, other vocabularies, or samples", async () => {
    await distill("cache --teacher large --data rows.jsonl --top 3 -q -o top3.safetensors");
    const refused = async (line: string, message: string) => {
      const { err, code } = await distill(`--cache top3.safetensors ${line} --steps 2 -q -o refused/`);
      expect(err).toContain(message);
      expect(code).toBe(2);
      expect(existsSync(at("refused"))).toBe(false);
    };
    writeFileSync(at("strange.jsonl"), '{"input_ids": [5, 6, 7]}\n');
    await refused(
      "--student small --data strange.jsonl",
      "strange.jsonl:1: the teacher cache top3.safetensors does not know this row",
    );
    writeFileSync(at("more.jsonl"), `${bytesOf("rows.jsonl")}{"input_ids": [5, 6, 7]}\n{"input_ids": [7, 6, 5]}\n`);
    await refused(
      "--student small --data more.jsonl",
      "more.jsonl:13: the teacher cache top3.safetensors does not know this row; it lacks 2 of 14",
    );
    await refused(
      "--student padded --data rows.jsonl",
      "top3.safetensors was written for a vocabulary of 50; padded has 56",
    );
    await refused("--student small --data rows.jsonl --on-policy 1", "a cached teacher cannot answer samples");
    await refused("--student small --data rows.jsonl --pack", "rows are looked up whole");
    await refused("--student mlp-small --data points.jsonl", "a cache is for language models");
  }, 60_000);
});

describe("--online", () => {
  test.each(["bd-kd", "competitive"])(
    "%s trains the teacher beside the student, and writes it where it is told; else it is left alone",
    async (name) => {
      const before = bytesOf("large/model.safetensors");
      const line = `large --student small --method ${name} ${TEXT} --steps 4`;
      const plain = await distill(`${line} -o offline/`);
      expect(plain.err).toBe("");
      const taught = `${name}-taught-teacher`;
      const online = await distill(`${line} --online --teacher-out ${taught}/ --log ${name}-online.log -o online/`);
      expect(online.err).toBe("");
      expect(bytesOf("large/model.safetensors")).toEqual(before);
      expect(await apart("large/model.safetensors", `${taught}/model.safetensors`)).toBeGreaterThan(1e-4);
      expect(await apart("offline/model.safetensors", "online/model.safetensors")).toBeGreaterThan(1e-6);
      const heard = steps(`${name}-online.log`);
      expect(heard).toHaveLength(4);
      for (const { teacher_loss, loss } of heard) {
        expect(teacher_loss).toBeGreaterThan(0);
        expect(loss).toBeGreaterThan(teacher_loss!);
      }
      const opened = await openPlain(at(taught));
      expect(opened.files.has("config.json")).toBe(true);
      expect(opened.lineage.at(-1)!.script).toBe("distill");
      opened.close();
    },
    40_000,
  );
});

describe("samples", () => {
  test.each(["--on-policy 1", "--teacher-samples 0.5 --on-policy 0.5", "--method seq-kd"])(
    "%s: the same command gives the same bytes, another seed others",
    async (line) => {
      const key = line.replaceAll(/\W+/g, "");
      const argv = `large --student small ${line} ${TEXT} --steps 5 --sample-tokens 7 --prompt-tokens 3`;
      for (const [name, seed] of [
        ["a", 1],
        ["b", 1],
        ["c", 2],
      ]) {
        const { err } = await distill(`${argv} --seed ${seed} -o ${key}-${name}.safetensors`);
        expect(err).toBe("");
      }
      expect(await apart(`${key}-a.safetensors`, `${key}-b.safetensors`)).toBe(0);
      expect(await apart(`${key}-a.safetensors`, `${key}-c.safetensors`)).toBeGreaterThan(0);
    },
    60_000,
  );
});

describe("a run that was killed goes on as if it had not been", () => {
  const RUNS = {
    taid: "large --student small --method taid",
    mtard: "large other --student small --method mtard --temperature-rate 0.1",
    hidden: "large --student small --method hidden --layers 1:2,last:last --label-weight 0",
    attention: "large --student small --method attention --layers 1:1,last:2 --recompute",
    "on-policy": "large --student small --method jsd --on-policy 0.6 --sample-tokens 5",
    online: "large --student small --method bd-kd --online --teacher-out TEACHER",
    self: "--teacher self --student small --method lssd",
    aligned: "other --student small --method dual-head --grad-align",
  };
  test.each(Object.entries(RUNS))(
    "%s",
    async (name, argv) => {
      const line = `${TEXT} --steps 14 --accumulate 2 --lr 0.01 --save-every 1`;
      const whole = await distill(`${argv.replace("TEACHER", `${name}-teacher/`)} ${line} -o ${name}-whole/`);
      expect(whole.err).toBe("");
      if (name === "online") mkdirSync(at("first"), { recursive: true });
      if (name === "online")
        await runShell(`cp -r ${name}-teacher ${name}-teacher-whole && rm -r ${name}-teacher`, folder);
      const random = (n: number) => Math.floor(n * Math.abs(Math.sin(name.length * 7.3 + n)));
      let kills = 0;
      for (let attempt = 0; attempt < 6; attempt++) {
        const child = startScript(
          "distill",
          `${argv.replace("TEACHER", `${name}-teacher/`)} ${line} -o ${name}-cut/ --resume --log ${name}-cut.log`.split(
            " ",
          ),
          folder,
        );
        const goal = 2 + attempt * 4 + random(3);
        while (child.exitCode === null && !(attempt < 3 && steps(`${name}-cut.log`).some(({ step }) => step! >= goal)))
          await Bun.sleep(2);
        if (child.exitCode !== null) {
          expect(await new Response(child.stderr).text()).toBe("");
          break;
        }
        child.kill(9);
        await child.exited;
        kills++;
      }
      expect(kills).toBeGreaterThanOrEqual(2);
      expect(bytesOf(`${name}-cut/model.safetensors`)).toEqual(bytesOf(`${name}-whole/model.safetensors`));
      if (name === "online")
        expect(bytesOf(`${name}-teacher/model.safetensors`)).toEqual(
          bytesOf(`${name}-teacher-whole/model.safetensors`),
        );
      expect(existsSync(at(`${name}-cut-state`))).toBe(false);
    },
    120_000,
  );
});

describe("means", () => {
  test.each(["kd", "hidden", "bd-kd", "competitive", "mtard", "dual-head", "taid"])(
    "%s: two micro-batches of half the size are the batch, whatever rows count how many tokens",
    async (name) => {
      const argv = `${name === "mtard" ? "large other" : "large"} --student small --method ${name} --data rows.jsonl -q --no-shuffle --optimizer sgd --lr 0.05 --steps 3`;
      const one = await distill(`${argv} --batch-size 4 --log ${name}-4.log -o ${name}-4/`);
      expect(one.err).toBe("");
      const two = await distill(`${argv} --batch-size 2 --accumulate 2 --log ${name}-2.log -o ${name}-2/`);
      expect(two.err).toBe("");
      for (const [i, step] of steps(`${name}-4.log`).entries()) {
        const other = steps(`${name}-2.log`)[i]!;
        for (const [key, value] of Object.entries(step))
          if (/loss|distill|entropy/.test(key))
            expect(Math.abs(other[key]! - value)).toBeLessThan(1e-5 * (1 + Math.abs(value)));
      }
      expect(await apart(`${name}-4/model.safetensors`, `${name}-2/model.safetensors`)).toBeLessThan(1e-5);
    },
    60_000,
  );

  test.each([
    "kd",
    "attention",
    "hidden",
    "bd-kd",
    "competitive",
    "lssd",
    "akl",
    "dual-head",
    "taid",
    "seq-kd --teacher-samples 0",
  ])(
    "%s: rows of which no token counts are no loss, not NaN",
    async (method) => {
      const { err, code } = await distill(
        `large --student small --method ${method} --data silent.jsonl --no-shuffle --batch-size 1 --steps 1 --weight-decay 0 -q --log silent.log -o silent/`,
      );
      expect(err).toBe("");
      expect(code).toBe(0);
      for (const { loss } of steps("silent.log")) expect(loss).toBe(0);
      rmSync(at("silent.log"));
      expect(await apart("small/model.safetensors", "silent/model.safetensors")).toBe(0);
    },
    30_000,
  );
});

test.each(["kd", "kd --temperature 4", "bd-kd --temperature 4", "hidden", "hidden --layers 1:2 --distance cosine"])(
  "a classifier learns by %s",
  async (method) => {
    const { err, code } = await distill(
      `mlp-large --student mlp-small --method ${method} --data points.jsonl --steps 30 --lr 0.02 -q --log mlp.log -o mlp-out/`,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    const heard = steps("mlp.log");
    expect(heard.at(-1)!.loss).toBeLessThan(heard[0]!.loss!);
    rmSync(at("mlp.log"));
    expect(existsSync(at("mlp-out"))).toBe(true);
  },
  30_000,
);
