/**
 * Quantised models as the tools write them, beside their dequantised twins (test/golden/quantized): weights bit for
 * bit, and every script that sees them sees the twin.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { createWriter } from "../../../src/checkpoint/write/write.ts";
import { runScript } from "../../support/command.ts";
import { bytesOf } from "../sample.ts";

const GOLDEN = path.join(import.meta.dir, "../../golden/quantized");
const FOLDERS = readdirSync(GOLDEN, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() && !entry.name.startsWith("gguf") ? entry.name : [],
);
/** The engine runs these; gpt-oss it does not. */
const LLAMAS = FOLDERS.filter((name) => name !== "mxfp4");
const PREFIX = "weight.";

const folder = mkdtempSync(path.join(tmpdir(), "ingot-quantized-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The twin as a folder: decoded weights from `expected.safetensors`, all else as it stands. */
async function writeTwin(name: string): Promise<void> {
  const [model, expected] = [
    await open(path.join(GOLDEN, name)),
    await open(path.join(GOLDEN, name, "expected.safetensors")),
  ];
  const config = JSON.parse(readFileSync(path.join(GOLDEN, name, "config.json"), "utf8"));
  for (const key of ["quantization_config", "quantization"]) delete config[key];
  config.torch_dtype = "float32";
  const entries = [...model.tensors.values()].map((entry) => expected.tensors.get(PREFIX + entry.name) ?? entry);
  const tensors = entries.map((entry) => ({ ...entry, name: entry.name.replace(/^weight\./, "") }));
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(config))]]);
  const writer = await createWriter(path.join(folder, `${name}-twin/`), { tensors, files, lineage: [] });
  for (const [k, entry] of entries.entries()) await writer.write(tensors[k]!.name, await bytesOf(entry));
  await writer.finish();
  model.close();
  expected.close();
}

beforeAll(async () => {
  for (const name of LLAMAS) {
    cpSync(path.join(GOLDEN, name), path.join(folder, name), { recursive: true });
    await writeTwin(name);
  }
  const rows = readFileSync(path.join(GOLDEN, LLAMAS[0]!, "case.json"), "utf8");
  const ids = (JSON.parse(rows) as { input_ids: number[][] }).input_ids;
  writeFileSync(
    path.join(folder, "rows.jsonl"),
    ids.map((input_ids) => `${JSON.stringify({ input_ids, labels: input_ids })}\n`).join(""),
  );
});

const digests = async ({ tensors }: Checkpoint): Promise<Record<string, string>> => {
  const all: Record<string, string> = {};
  for (const entry of tensors.values()) {
    all[entry.name] = `${entry.dtype} ${entry.shape} ${Bun.hash(await bytesOf(entry)).toString(16)}`;
  }
  return all;
};

const run = async (script: string, ...argv: string[]) => {
  const { code, err, text } = await runScript(script, argv, folder);
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
  return { text, err };
};

const resultDigests = async (name: string) => {
  const result = await open(path.join(folder, name));
  const found = await digests(result);
  result.close();
  return found;
};

describe("weights", () => {
  for (const name of FOLDERS) {
    test(`${name} decodes to its twin, bit for bit`, async () => {
      const model = await open(path.join(GOLDEN, name));
      const expected = await open(path.join(GOLDEN, name, "expected.safetensors"));
      const twins = [...expected.tensors.values()].filter((entry) => entry.name.startsWith(PREFIX));
      const { dequantised } = JSON.parse(readFileSync(path.join(GOLDEN, name, "case.json"), "utf8"));
      expect(twins.map((entry) => entry.name.slice(PREFIX.length)).sort()).toEqual(dequantised.toSorted());
      for (const twin of twins) {
        const entry = model.tensors.get(twin.name.slice(PREFIX.length))!;
        expect([entry.dtype, entry.shape]).toEqual(["F32", twin.shape]);
        expect([entry.name, Buffer.compare(await bytesOf(entry), await bytesOf(twin))]).toEqual([entry.name, 0]);
      }
      const config = JSON.parse(new TextDecoder().decode(model.files.get("config.json")));
      expect([config.quantization_config, config.quantization, config.torch_dtype]).toEqual([
        undefined,
        undefined,
        "float32",
      ]);
      expect(model.quantized!.reduce((sum, { tensors }) => sum + tensors, 0)).toBe(twins.length);
      model.close();
      expected.close();
    });
  }
});

describe("scripts see the twin", () => {
  test("evaluate gives its loss", async () => {
    const values = async (suffix: string) => {
      const models = LLAMAS.map((name) => name + suffix);
      const argv = [...models, "--data", "rows.jsonl", "--metric", "loss", "--bootstrap", "0", "--json", "-q"];
      const { rows } = JSON.parse((await run("evaluate", ...argv)).text) as {
        rows: { model: string; value: number }[];
      };
      return rows.map(({ model, value }) => [model.replace(/-twin$/, ""), value]);
    };
    const plain = await values("-twin");
    expect(plain.length).toBeGreaterThanOrEqual(LLAMAS.length);
    expect(await values("")).toEqual(plain);
  }, 120_000);

  test("merge gives the merge of the twins, without a trace of the quantization but in its lineage", async () => {
    for (const [a, b] of [
      ["gptq-w4-actorder", "fp8-block-odd"],
      ["mlx-4bit", "awq-w4"],
      ["bnb-nf4-nested", "ct-w4-asym"],
    ] as const) {
      await run("merge", a, b, "--method", "linear", "--weight", "0.3,0.7", "-o", "merged/", "-q");
      const found = await resultDigests("merged");
      const config = JSON.parse(readFileSync(path.join(folder, "merged/config.json"), "utf8"));
      expect([config.quantization_config, config.quantization]).toEqual([undefined, undefined]);
      const { text } = await run("inspect", "merged", "--json");
      const [step] = JSON.parse(text).lineage as { inputs: { quantized?: string }[] }[];
      expect(step!.inputs.every(({ quantized }) => /, [48] bit, (groups|blocks) of /.test(quantized ?? ""))).toBeTrue();
      await run("merge", `${a}-twin`, `${b}-twin`, "--method", "linear", "--weight", "0.3,0.7", "-o", "twins/", "-q");
      expect(found).toEqual(await resultDigests("twins"));
      for (const made of ["merged", "twins"]) rmSync(path.join(folder, made), { recursive: true });
    }
  }, 120_000);

  test("an adapter lands on the decoded weights, and training begins from them", async () => {
    const train = ["--data", "rows.jsonl", "--steps", "2", "--lr", "0.01", "--save-every", "0", "-q"];
    await run("train", "gptq-w8-twin", ...train, "--lora", "-o", "adapter/");
    await run("merge", "gptq-w8+adapter", "--method", "passthrough", "-o", "q-adapter/", "-q");
    await run("merge", "gptq-w8-twin+adapter", "--method", "passthrough", "-o", "f-adapter/", "-q");
    const [q, f] = [await resultDigests("q-adapter"), await resultDigests("f-adapter")];
    expect(q).toEqual(f);
    await run("train", "gptq-w8", ...train, "-o", "q-trained/");
    await run("train", "gptq-w8-twin", ...train, "-o", "f-trained/");
    expect(await resultDigests("q-trained")).toEqual(await resultDigests("f-trained"));
    expect(readFileSync(path.join(folder, "q-trained/config.json"), "utf8")).not.toContain("quantization");
  }, 120_000);

  test("inspect says layout, bits and group", async () => {
    const { text } = await run("inspect", "gptq-w4-actorder");
    expect(text).toContain("quantized     GPTQ, 4 bit, groups of 32, act-order: 7 tensors, 9.82 kB stored");
    expect(text).toContain("model.layers.0.mlp.down_proj.weight");
    expect(text).not.toContain("qweight");
    const { text: json } = await run("inspect", "nvfp4", "--json", "--diff", "nvfp4-twin");
    expect(JSON.parse(json).diff.tensors.every(({ identical }: { identical: boolean }) => identical)).toBeTrue();
  });

  test("a folder whose codes no decoder reads is refused by every script alike, and shown by inspect", async () => {
    const config = JSON.parse(readFileSync(path.join(GOLDEN, "awq-w4/config.json"), "utf8"));
    mkdirSync(path.join(folder, "gemv"));
    cpSync(path.join(GOLDEN, "awq-w4/model.safetensors"), path.join(folder, "gemv/model.safetensors"));
    config.quantization_config.version = "gemv";
    writeFileSync(path.join(folder, "gemv/config.json"), JSON.stringify(config));
    const said = "gemv is quantized (AWQ): its packing is gemv, which no decoder reads\n";
    const commands = [
      ["evaluate", "gemv", "--data", "rows.jsonl", "--metric", "loss"],
      ["merge", "gemv", "gptq-w8", "--method", "linear", "--weight", "0.5", "-o", "none/"],
      ["train", "gemv", "--data", "rows.jsonl", "--steps", "1", "-o", "none/"],
      ["sample", "gemv", "hi"],
    ];
    for (const [script, ...argv] of commands) {
      const { code, err } = await runScript(script!, argv, folder);
      expect([code, err.split("\n")[0]]).toEqual([2, `${script}: ${said.trimEnd()}`]);
    }
    const { text } = await run("inspect", "gemv");
    expect(text).toContain(`not read      ${said}`);
    expect(text).toContain("qweight");
    const checked = await runScript("inspect", ["gemv", "--check"], folder);
    expect([checked.code, checked.text]).toEqual([1, expect.stringContaining(`error: ${said.trimEnd()}`)]);
  }, 120_000);
});
