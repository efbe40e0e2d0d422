/** `adapt combine` as users run it: results, what they say, and what is refused before any work. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../src/checkpoint/open.ts";
import { runScript, runShell } from "../support/command.ts";
import { changesIn, configIn, factors, type Stored, writeAdapter } from "./adapter-files.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-combine-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const adapt = (...argv: string[]) => runScript("adapt", ["combine", ...argv], folder);

const [Q, V] = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"];
const targets = { target_modules: ["q_proj"] };
const norm: Stored = { shape: [4], values: Float32Array.of(1, 2, 3, 4) };
writeAdapter(at("a"), factors({ [Q]: [6, 4] }, 2, 1), { ...targets, lora_alpha: 4 });
writeAdapter(at("b"), factors({ [Q]: [6, 4], [V]: [5, 4] }, 3, 2), {
  ...{ r: 3, lora_alpha: 3, use_rslora: true, target_modules: ["q_proj", "v_proj"] },
});
writeAdapter(at("same-rank"), factors({ [Q]: [6, 4] }, 2, 3), targets);
writeAdapter(at("other-shape"), factors({ [Q]: [8, 4] }, 2, 3), targets);
writeAdapter(at("turned"), factors({ [Q]: [6, 4] }, 2, 3), { ...targets, fan_in_fan_out: true });
writeAdapter(at("dora"), factors({ [Q]: [6, 4] }, 2, 3), { ...targets, use_dora: true });
writeAdapter(at("ia3"), {}, { peft_type: "IA3" });
writeAdapter(at("empty"), {}, targets);
writeAdapter(at("half"), { [`${Q}.lora_A.weight`]: { shape: [2, 4], values: new Float32Array(8) } }, targets);
writeAdapter(
  at("bias"),
  { ...factors({ [Q]: [6, 4] }, 2, 3), [`${Q}.lora_B.bias`]: { shape: [6], values: new Float32Array(6) } },
  { ...targets, lora_bias: true },
);
const nan = factors({ [Q]: [6, 4] }, 2, 4);
nan[`${Q}.lora_B.weight`]!.values[3] = Number.NaN;
writeAdapter(at("nan"), nan, targets);
for (const [name, first] of [
  ["normed", 1],
  ["normed-again", 1],
  ["normed-otherwise", 9],
] as const)
  writeAdapter(
    at(name),
    { ...factors({ [Q]: [6, 4] }, 2, 5), "model.norm.weight": { ...norm, values: Float32Array.of(first, 2, 3, 4) } },
    { ...targets, modules_to_save: ["norm"] },
  );

const added = (parts: readonly (readonly [number[], number])[]) =>
  parts[0]![0].map((_, i) => parts.reduce((sum, [change, weight]) => sum + weight * change[i]!, 0));
const expectClose = (found: readonly number[], expected: readonly number[]) => {
  for (const [i, value] of expected.entries()) expect(found[i]!).toBeCloseTo(value, 5);
};

test("cat is the weighted sum of the changes, over the union of modules", async () => {
  const { code, err } = await adapt("a", "b", "--method", "cat", "--weight", "0.5,-2", "-o", "sum");
  expect(code, err).toBe(0);
  expect(err).toContain("1 of 2 modules are not in every adapter");
  const [a, b, sum] = await Promise.all(["a", "b", "sum"].map((name) => changesIn(at(name))));
  expectClose(
    sum!.get(Q)!.change,
    added([
      [a!.get(Q)!.change, 0.5],
      [b!.get(Q)!.change, -2],
    ]),
  );
  expectClose(sum!.get(V)!.change, added([[b!.get(V)!.change, -2]]));
  expect([sum!.get(Q)!.rank, sum!.get(V)!.rank]).toEqual([5, 3]);
  expect(configIn(at("sum"))).toMatchObject({
    ...{ r: 5, lora_alpha: 5, rank_pattern: { [V]: 3 }, alpha_pattern: { [V]: 3 } },
    ...{ target_modules: ["q_proj", "v_proj"], base_model_name_or_path: "base", use_rslora: false },
  });
});

test("a file, a pipe and a folder hold the same, and lineage says what made it", async () => {
  await adapt("a", "same-rank", "--method", "linear", "-o", "folder");
  const { code, err } = await runShell(
    "$ADAPT combine a same-rank --method linear > piped.safetensors && $ADAPT combine - b --method svd < piped.safetensors -o from-pipe",
    folder,
  );
  expect(code, err).toBe(0);
  expect([...(await changesIn(at("piped.safetensors")))]).toEqual([...(await changesIn(at("folder")))]);
  const { lineage } = await openPlain(at("from-pipe"));
  expect(lineage.map(({ script, method }) => [script, method])).toEqual([
    ["adapt combine", "linear"],
    ["adapt combine", "svd"],
  ]);
  const again = await runScript("inspect", ["from-pipe", "--command"], folder);
  expect(again.text).toContain("adapt combine a same-rank --method linear");
  writeFileSync(at("again.sh"), again.text.replaceAll("bun run adapt", "$ADAPT"));
  const remade = await runShell(". ./again.sh made-again.safetensors", folder);
  expect(remade.code, remade.err).toBe(0);
  expect([...(await changesIn(at("made-again.safetensors")))]).toEqual([...(await changesIn(at("from-pipe")))]);
});

test("a model with an adapter is no adapter, and whole tensors with NaN are told", async () => {
  const wrong = await adapt("a", "base+b", "--method", "svd", "-o", "wrong");
  expect([wrong.code, wrong.err]).toEqual([
    2,
    expect.stringContaining(
      "base+b is a model with an adapter, and adapters are taken here without a base\n  hint: name the adapter alone: b",
    ),
  ]);
  const values = Float32Array.of(1, Number.NaN, 3, 4);
  writeAdapter(
    at("odd-norm"),
    { ...factors({ [Q]: [6, 4] }, 2, 1), "model.norm.weight": { shape: [4], values } },
    { ...targets, modules_to_save: ["norm"] },
  );
  const { code, err } = await adapt("a", "odd-norm", "--method", "svd", "-o", "with-nan");
  expect([code, err]).toEqual([
    0,
    expect.stringContaining("norm.weight holds NaN or infinity, and is in the adapter as it is"),
  ]);
});

test("the same bytes from the same seed, others from another", async () => {
  const bytes = async (name: string, ...argv: string[]) => {
    const { code, err } = await adapt(
      "a",
      "same-rank",
      "--method",
      "dare_ties_svd",
      "--svd-rank",
      "2",
      ...argv,
      "-o",
      name,
    );
    expect(code, err).toBe(0);
    return readFileSync(at(`${name}/adapter_model.safetensors`))
      .subarray(-100)
      .toString("hex");
  };
  expect(await bytes("one")).toBe(await bytes("two"));
  expect(await bytes("one", "--overwrite")).not.toBe(await bytes("three", "--seed", "5"));
});

test("whole tensors of one adapter, or the same in several, go with the result", async () => {
  const { code, err } = await adapt("normed", "normed-again", "a", "--method", "svd", "-o", "with-norm");
  expect(code, err).toBe(0);
  expect(err).toContain("carried over without a weight");
  expect(configIn(at("with-norm")).modules_to_save).toEqual(["norm"]);
  const entry = (await openPlain(at("with-norm"))).tensors.get("base_model.model.model.norm.weight")!;
  const bytes = new Uint8Array(16);
  await entry.read(bytes, 0);
  expect([...new Float32Array(bytes.buffer)]).toEqual([1, 2, 3, 4]);
});

test("a dry run writes nothing and says the size; --json gives the figures", async () => {
  const dry = await adapt("a", "b", "--method", "ties-svd", "-n", "--json", "-o", "dry");
  const done = await adapt("a", "b", "--method", "ties-svd", "--json", "-o", "wet");
  expect([dry.code, done.code, existsSync(at("dry"))]).toEqual([0, 0, false]);
  const [plan, result] = [JSON.parse(dry.text), JSON.parse(done.text)];
  expect(plan).toMatchObject({ method: "ties-svd", adapters: 2, modules: 2, whole: 0, gpu: 0 });
  expect(result).toMatchObject({ modules: 2, values: plan.bytes / 4, out: "wet" });
  expect(plan.memory).toBeGreaterThan(8 * 6 * 4);
});

test("bfloat16 rounds what is written", async () => {
  await adapt("a", "--method", "svd", "--dtype", "bfloat16", "-o", "narrow");
  const opened = await openPlain(at("narrow"));
  expect([...opened.tensors.values()].map(({ dtype }) => dtype)).toEqual(["BF16", "BF16"]);
  const [whole, narrow] = await Promise.all(["a", "narrow"].map((name) => changesIn(at(name))));
  for (const [i, value] of whole!.get(Q)!.change.entries())
    expect(Math.abs(narrow!.get(Q)!.change[i]! - value)).toBeLessThan(0.1);
});

describe("refused before work, by name", () => {
  test.each([
    [["a", "b", "--method", "linear"], "linear needs equal ranks", "--method cat or svd"],
    [["a", "b", "--method", "ties"], "has rank 2 in a and 3 in b", "ties-svd"],
    [
      ["a", "other-shape", "--method", "svd"],
      "is linear (6, 4) in a but linear (8, 4) in other-shape",
      "different bases",
    ],
    [["a", "turned", "--method", "svd"], "differ in fan_in_fan_out", "different architectures"],
    [["a", "dora", "--method", "svd"], "dora is DoRA", "merge base+dora"],
    [["ia3", "--method", "svd"], "of the kind IA3", ""],
    [["empty", "--method", "svd"], "empty has no tensors", ""],
    [["half", "--method", "svd"], "exactly one A and one B", "incomplete"],
    [["bias", "--method", "svd"], "bias of lora_B", ""],
    [["nan", "--method", "svd"], "lora_B.weight holds NaN", ""],
    [["normed", "normed-otherwise", "--method", "svd"], "both hold", "base+adapter"],
    [["a", "b", "--method", "svd", "--weight", "1"], "1 values for 2 adapters", ""],
    [["a", "b"], "no --method", ""],
    [["--method", "svd"], "no adapters to combine", ""],
    [["a", "--method", "tie"], "unknown method tie", "did you mean ties?"],
    [["missing", "--method", "svd"], "missing", ""],
    [["a", "--method", "svd", "-o", "x.gguf"], "x.gguf is a GGUF file", ""],
  ])("%j", async (argv, message, hint) => {
    const { code, err } = await adapt(...argv, ...(argv.includes("-o") ? [] : ["-o", "refused"]));
    expect([code, existsSync(at("refused"))]).toEqual([2, false]);
    expect(err).toContain(message);
    expect(err).toContain(hint);
  });

  test("a model is no adapter", async () => {
    writeAdapter(at("model"), { "x.weight": norm });
    rmSync(at("model/adapter_config.json"));
    const { code, err } = await adapt("model", "--method", "svd", "-o", "refused");
    expect([code, err]).toEqual([2, expect.stringContaining("model is not an adapter")]);
  });
});
