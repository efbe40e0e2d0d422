/** Every golden folder of the repository through the runner, and the runner's own comparison. */
import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sharedGpu } from "../support/gpu.ts";
import { hardware } from "../support/program.ts";
import { LossGoldens } from "./formats/loss.ts";
import { type GoldenOutput, MergeGoldens } from "./formats/merge.ts";
import { checkQuantized } from "./formats/quantized.ts";
import { relativeError } from "./formats/tensors.ts";
import { checkTrain, trainCases } from "./formats/train.ts";
import { openGoldens } from "./run.ts";

const gpu = await sharedGpu();
const folder = (name: string) => join(import.meta.dir, name);

for (const [name, format, count] of [
  ["merge", "merge", 55],
  ["tokenizer-merge", "vocabulary", 12],
  ["train", "train", 7],
  ["train-next", "train", 25],
  ["loss", "loss", 23],
  ["quantized", "quantized", 21],
  ["adapters", "adapters", 47],
] as const) {
  const goldens = (await openGoldens(folder(name)))!;
  describe(name, () => {
    afterAll(() => goldens.close());
    test(`${count} cases in the format ${format}`, () => {
      expect([goldens.format, goldens.cases.length]).toEqual([format, count]);
    });
    test.each(goldens.cases)("%s", async (_, check) => expect(await check(gpu)).toEqual([]), 60_000);
  });
}

describe("train, activations computed again on the way back", () => {
  const cases = ["train", "train-next"].flatMap((kind) => trainCases(folder(kind)).map((name) => join(kind, name)));
  test.each(cases)("%s", async (name) => {
    expect(await checkTrain(folder(name), gpu, { recompute: true })).toEqual([]);
  });
});

describe("loss, as on a real GPU", async () => {
  const goldens = await LossGoldens.open(folder("loss"));
  test.each(goldens.cases.map((one) => [one.name, one] as const))("%s", async (_, one) => {
    expect(await goldens.check(one, gpu, hardware)).toEqual([]);
  });
});

describe("the comparison itself", () => {
  const goldens = new MergeGoldens(folder("merge"));
  afterAll(() => goldens.close());
  const changed = (output: GoldenOutput, name: string, change: (bytes: Uint8Array) => void): GoldenOutput =>
    new Map(
      [...output].map(([key, tensor]) => {
        if (key !== name) return [key, tensor];
        const bytes = tensor.bytes.slice();
        change(bytes);
        return [key, { ...tensor, bytes }];
      }),
    );

  test("of merges sees one value off, a missing tensor and a biased mask", async () => {
    const output = await goldens.run("linear-2-f32", { gpu });
    const name = "model.layers.0.mlp.up_proj.weight";
    const off = changed(output, name, (bytes) => {
      const values = new Float32Array(bytes.buffer);
      values[7]! += 4e-6 * Math.max(...values.map(Math.abs));
    });
    const [count, first] = await goldens.accept("linear-2-f32", off);
    expect(count).toBe("1 elements are off");
    expect(first).toStartWith(`${name}[7] is `);
    const fewer = new Map([...output].filter(([key]) => key !== name));
    expect(await goldens.accept("linear-2-f32", fewer)).toEqual([`${name} is missing`]);
    const same = await goldens.run("dare_linear-1", { gpu, seed: 1 });
    expect((await goldens.accept("dare_linear-1", Array<GoldenOutput>(32).fill(same))).length).toBeGreaterThan(10);
  });

  test("of values sees one that is off, one that is no number, and another length", () => {
    expect(relativeError([1, 2, 4], [1, 2, 4])).toBe(0);
    expect(relativeError([1, 2.5, 4], [1, 2, 4])).toBeCloseTo(0.125);
    expect(relativeError([1, Number.NaN, 4], [1, 2, 4])).toBe(Number.POSITIVE_INFINITY);
    expect(relativeError([1, 2], [1, 2, 4])).toBe(Number.POSITIVE_INFINITY);
  });

  test("of losses sees a wrong parameter", async () => {
    const losses = await LossGoldens.open(folder("loss"));
    const skew = losses.cases.find(({ name }) => name.startsWith("skew_kl"))!;
    const problems = await losses.check({ ...skew, parameters: { alpha: 0.11 } }, gpu);
    expect(problems.length).toBe(2);
  });

  test("of quantised checkpoints sees one code that is off, a tensor that is not named, and other logits", async () => {
    const made = mkdtempSync(join(tmpdir(), "quantized-"));
    try {
      cpSync(join(folder("quantized"), "fp8-block"), made, { recursive: true });
      const file = readFileSync(join(made, "model.safetensors"));
      const length = Number(file.readBigUInt64LE());
      const header = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<string, Record<string, number[]>>;
      const [name, { data_offsets }] = Object.entries(header).find(([key]) => key.endsWith("q_proj.weight"))!;
      file[8 + length + data_offsets![0]! + 5]! ^= 1;
      writeFileSync(join(made, "model.safetensors"), file);
      const [problem, ...others] = await checkQuantized(made, gpu);
      expect(problem).toStartWith(`${name}[5] is `);
      expect(others).toEqual([]);
      cpSync(join(folder("quantized"), "fp8-block"), made, { recursive: true });
      const index = await Bun.file(join(made, "case.json")).json();
      await Bun.write(join(made, "case.json"), JSON.stringify({ ...index, dequantised: ["a", ...index.dequantised] }));
      expect(await checkQuantized(made, gpu)).toEqual(["expected.safetensors lacks a"]);
      await Bun.write(join(made, "case.json"), JSON.stringify({ ...index, input_ids: index.input_ids.toReversed() }));
      expect((await checkQuantized(made, gpu))[0]).toStartWith("logits are off by ");
    } finally {
      rmSync(made, { recursive: true });
    }
  });

  test("a folder in no known format is not one", async () => {
    expect(await openGoldens(folder("formats"))).toBeUndefined();
  });
});

/** The runner over folders: what it prints, and its exit code. */
function run(...folders: string[]) {
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, join(import.meta.dir, "run.ts"), ...folders]);
  return { lines: stdout.toString().trimEnd().split("\n"), stderr: stderr.toString(), exitCode };
}

test("the runner prints how many cases are within tolerance", () => {
  const { lines, exitCode } = run(folder("loss"));
  expect(lines.at(-1)).toEndWith("loss: 23 of 23 within tolerance");
  expect(exitCode).toBe(0);
  const none = run(folder("formats"));
  expect(none.stderr).toContain("is in no known format");
  expect(none.exitCode).toBe(2);
});

describe("of damaged folders the runner says what they lack, and checks the rest", async () => {
  const made = mkdtempSync(join(tmpdir(), "goldens-"));
  afterAll(() => rmSync(made, { recursive: true }));
  /** A copy of a golden folder with another index. */
  const copy = async (from: string, file: string, change: (index: Index) => void) => {
    const target = join(made, `${from}-${file.replaceAll("/", "-")}`);
    cpSync(folder(from), target, { recursive: true });
    const index = await Bun.file(join(target, file)).json();
    change(index);
    await Bun.write(join(target, file), JSON.stringify(index));
    return target;
  };
  type Index = Record<string, unknown> & { cases: Record<string, unknown>[] };
  const keep = (names: readonly string[], key: string) => (index: Index) => {
    index.cases = index.cases.filter((one) => names.includes(one[key] as string));
  };

  test("loss", async () => {
    const target = await copy("loss", "cases.json", (index) => {
      keep(["tvd", "jsd_0.5", "npo_0.1"], "name")(index);
      delete index.logits_shape;
      delete index.cases[0]!.parameters;
      index.cases.push({ name: "made_up_1", value: 1 });
    });
    expect(run(`${target}/`, join(made, "nowhere"))).toEqual({
      lines: [
        "jsd_0.5: cases.json: the parameter beta of jsd_0.5 is missing",
        "made_up_1: no method is known for the loss made_up_1",
        `${target}/: 2 of 4 within tolerance`,
      ],
      stderr: `${join(made, "nowhere")} does not exist\n`,
      exitCode: 2,
    });
  });

  test("merge", async () => {
    const target = await copy("merge", "index.json", (index) => {
      keep(["linear-2-f32", "ties-f32", "slerp-f32"], "id")(index);
      for (const one of index.cases) for (const key of ["elements", "config", "expected"]) delete one[key];
      delete index.random;
      delete index.cases[0]!.variant;
    });
    rmSync(join(target, "expected/slerp-f32.safetensors"));
    const { lines, exitCode } = run(target);
    expect(lines).toEqual([
      "linear-2-f32: index.json: the variant of linear-2-f32 is undefined, expected exact, f32, mixed, bf16, random",
      expect.stringMatching(/^slerp-f32: ENOENT.*slerp-f32.safetensors/),
      `${target}: 1 of 3 within tolerance`,
    ]);
    expect(exitCode).toBe(1);
  });

  test("train", async () => {
    const target = await copy("train", "gpt2/case.json", (index) => delete index.tolerance);
    for (const name of ["llama-untied", "lora-dora"]) rmSync(join(target, name), { recursive: true });
    rmSync(join(target, "index.json"), { force: true });
    await Bun.write(join(target, "qwen2/case.json"), '{"batches": [');
    expect(run(target).lines).toEqual([
      "gpt2: case.json: tolerance is missing",
      `qwen2: ${join(target, "qwen2/case.json")}: JSON Parse error: Unexpected EOF`,
      `${target}: 3 of 5 within tolerance`,
    ]);
  });
});
