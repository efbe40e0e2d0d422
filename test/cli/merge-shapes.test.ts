/** Methods whose result has another shape than their models, from the command line and in recipes. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { checkpointOf, configOf, logitsOf, named, network, valuesOf } from "../merge/structure/networks.ts";
import { entryOf } from "../support/entry.ts";
import { sharedGpu } from "../support/gpu.ts";
import { merge, readTensors, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

const CONFIG = {
  ...{ model_type: "llama", hidden_size: 16, intermediate_size: 12, num_hidden_layers: 4, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, vocab_size: 50, max_position_embeddings: 64, initializer_range: 0.3 },
};

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-shapes-"));
  for (const [seed, name] of ["a", "b"].entries()) {
    const model = named(await network(await sharedGpu(), CONFIG, seed + 1));
    const made = await Promise.all(
      [...model.tensors.values()].map(async (entry) => ({
        ...entry,
        shape: [...entry.shape],
        data: await valuesOf(entry),
      })),
    );
    writeModel(join(folder, name), made, { "config.json": CONFIG });
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (argv: string) => merge(argv.split(" "), { cwd: folder });
const file = (path: string) => readFileSync(join(folder, path));
const loaded = (path: string) => {
  const config = JSON.parse(file(`${path}/config.json`).toString());
  const tensors = [...readTensors(file(`${path}/model.safetensors`))].map(([name, tensor]) =>
    entryOf(name, "F32", tensor.shape, decodeFloats(tensor.data, "F32")),
  );
  return checkpointOf(path, config, tensors);
};

test("a coalesced model is a model: it loads, runs and says what it came from; the way back has the old shapes", async () => {
  const { code, err } = await run("a --method coalesce -q -o half");
  expect([code, err]).toEqual([0, ""]);
  const half = loaded("half");
  expect(configOf(half)).toEqual({
    ...{ ...CONFIG, hidden_size: 8, intermediate_size: 6, num_hidden_layers: 2 },
    ...{ num_attention_heads: 2, num_key_value_heads: 1 },
  });
  expect((await logitsOf(await sharedGpu(), half)).every(Number.isFinite)).toBe(true);
  expect(file("half/model.safetensors").subarray(0, 9000).toString("latin1")).toContain('\\"method\\":\\"coalesce\\"');
  expect((await run("half --method decoalesce -q -o whole")).code).toBe(0);
  expect(configOf(loaded("whole"))).toEqual(CONFIG);
  // The V-cycle's way back: what was trained before, and what its half became.
  expect((await run("a whole --method linear --weight 0.5 -q -o cycle")).code).toBe(0);
  expect(configOf(loaded("cycle"))).toEqual(CONFIG);
});

test("a dry run says the new size, and --explain of how many parts a tensor is the sum", async () => {
  const dry = JSON.parse((await run("a --method coalesce -n --json")).text);
  const written = file("half/model.safetensors");
  const header = new DataView(written.buffer, written.byteOffset).getUint32(0, true) + 8;
  expect(dry.output).toBe(written.length - header);
  const { text } = await run("a --method coalesce --width 1 --explain");
  expect(text).toMatch(/width +1/);
  expect(text).toMatch(/depth +2/);
  expect(text).toMatch(/share a +0\.5/);
  expect(text).toMatch(/model\.norm\.weight +copied/);
  const recipe =
    "merge_method: coalesce\nmodels: [{model: ./a}]\nparameters: {width: 2, depth: 2}\nout_dtype: float16\n";
  writeFileSync(join(folder, "half.yml"), recipe);
  expect((await run("half.yml -q -o sixteen.safetensors")).code).toBe(0);
  expect([...readTensors(file("sixteen.safetensors")).values()].every(({ dtype }) => dtype === "F16")).toBe(true);
});

test("stages from the command line, and what does not go together refused by name", async () => {
  expect((await run("b --base a --method incubate --stage 2 --divide 2 -q -o stage2")).code).toBe(0);
  expect((await run("b --base a --method incubate --stage 1 --divide 2 -q -o stage1")).code).toBe(0);
  const built = await run("stage1 stage2 --base a --method assemble -q -o deep");
  expect([built.code, built.err]).toEqual([0, ""]);
  await run("b --method passthrough -q -o same");
  const [deep, b] = [loaded("deep"), loaded("same")];
  const name = "model.layers.3.self_attn.o_proj.weight";
  expect(await valuesOf(deep.tensors.get(name)!)).toEqual(await valuesOf(b.tensors.get(name)!));
  const told = async (argv: string) => {
    const { code, err } = await run(argv);
    expect(code).toBe(2);
    return err;
  };
  expect(await told("b --base a --method incubate -q -o x")).toContain("incubate needs stage");
  expect(await told("b --method incubate --stage 1 -q -o x")).toContain("incubate needs a base model");
  expect(await told("a b --method coalesce -q -o x")).toContain("coalesce merges 1 model, found 2");
  expect(await told("a b --method concat -q -o x")).toContain("cannot stand beside others in one network");
  expect(await told("a --method coalesce --width 4 -q -o x")).toContain("which 4 does not divide");
  expect(await told("a --method coalesce --tokenizer-source base -q -o x")).toContain(
    "coalesce leaves tokenizers as they are",
  );
  const piped = await merge("- --method coalesce -q -o x".split(" "), {
    cwd: folder,
    stdin: new Uint8Array(file("half/model.safetensors")),
  });
  expect([piped.code, piped.err]).toEqual([2, expect.stringContaining("reads tensors out of their order")]);
  const slices = "merge_method: coalesce\nslices:\n- sources: [{model: ./a, layer_range: [0, 2]}]\n";
  writeFileSync(join(folder, "slices.yml"), slices);
  expect(await told("slices.yml -q -o x")).toContain("coalesce is for whole models");
});

test("a factor that is no whole number is refused in one line", async () => {
  const { code, err } = await run("a --method coalesce --width 0.3 -o broken");
  expect(code).toBe(2);
  expect(err).toStartWith("merge: width is 0.3, expected number.integer >= 1\n");
});
