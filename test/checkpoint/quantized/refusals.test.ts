/** What is damaged, or of a layout without a decoder, is refused by tensor and layout before any work. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import type { Dtype } from "../../../src/checkpoint/dtype.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { dequantized } from "../../../src/checkpoint/quantized/dequantize.ts";
import { bytesOf, inFolder, type Made, make, refusal } from "../sample.ts";
import { awq, bytes, checkpointOf, encodedFile, everyLayout, gptq, mlx, packed, random } from "./encode.ts";

const next = random(5);
const ALL = everyLayout(next);

const message = async (tensors: readonly Made[], config?: Record<string, unknown>): Promise<string> =>
  (await refusal(() => dequantized(checkpointOf(tensors, config)))).message;

/** The tensor as it would be with another shape or dtype. */
const changed = ({ name, dtype, shape }: Made, change: { dtype?: Dtype; shape?: readonly number[] }): Made =>
  make({ [name]: [change.dtype ?? dtype, [...(change.shape ?? shape)]] })[0]!;

/** Companions that a layout does without; the tensor then means the same or is not quantised. */
const OPTIONAL = /g_idx|zero_point|weight_format/;

describe("companions of every layout", () => {
  for (const [name, encoded] of Object.entries(ALL)) {
    const companions = encoded.tensors.filter((tensor) => tensor.name !== encoded.name && !OPTIONAL.test(tensor.name));

    test(`${name}: each is missed by name, or its codes are`, async () => {
      for (const lost of companions) {
        const rest = encoded.tensors.filter((tensor) => tensor !== lost);
        const said = await message(rest, encoded.config);
        expect(said).toStartWith("q is quantized (");
        expect(said).toMatch(/has no .*(means? nothing|mean nothing)|belongs to no weight/);
        // Without a config the names alone must tell it, unless what is left may be a plain model.
        if (rest.some(({ dtype }) => !/^(F8|F32|F16|BF16)/.test(dtype))) {
          expect(await message(rest)).toStartWith("q is quantized (");
        }
      }
    });

    test(`${name}: shapes that do not fit are told`, async () => {
      for (const wrong of companions.filter(({ shape }) => shape.length > 0)) {
        const shape = [...wrong.shape.slice(0, -1), wrong.shape.at(-1)! + 1];
        if (wrong.name.includes("quant_state")) continue; // a longer JSON may be the same
        const tensors = encoded.tensors.map((tensor) => (tensor === wrong ? changed(tensor, { shape }) : tensor));
        expect(await message(tensors, encoded.config)).toStartWith("q is quantized (");
      }
    });

    test(`${name}: types that do not fit are told`, async () => {
      for (const wrong of companions) {
        const tensors = encoded.tensors.map((tensor) =>
          tensor === wrong ? changed(tensor, { dtype: "I64" }) : tensor,
        );
        if (wrong.dtype === "I64") continue;
        expect(await message(tensors, encoded.config)).toStartWith("q is quantized (");
      }
    });
  }
});

describe("damage that data shows", () => {
  test("a group index that is no group", async () => {
    const { tensors, config } = gptq(random(1), 8, 32, 4, 16, true, false);
    const index = tensors.find(({ name }) => name.endsWith("g_idx"))!;
    new Int32Array(index.data.buffer)[5] = 2;
    expect(await message(tensors, config)).toBe(
      `q is quantized (GPTQ): ${index.name} puts column 5 into group 2; its groups are 0 to 1`,
    );
    const other = packed(random(1), 8, 32, 4, 16, false, true);
    const own = other.tensors.find(({ name }) => name.endsWith("g_idx"))!;
    new Int32Array(own.data.buffer)[0] = -1;
    expect(await message(other.tensors, other.config)).toContain("puts column 0 into group -1");
  });

  test("a shape that the codes do not have", async () => {
    const { tensors, config } = packed(random(1), 8, 32, 4, 16, false, false);
    const shape = tensors.find(({ name }) => name.endsWith("_shape"))!;
    new BigInt64Array(shape.data.buffer)[0] = 9n;
    expect(await message(tensors, config)).toContain("but model.layers.0.mlp.up_proj.weight_shape states (9, 32)");
  });

  test("rows that are tiled for old GPUs", async () => {
    const { tensors, config } = bytes(random(1), [4, 8], [1, 8], "I8", "int8");
    tensors.find(({ name }) => name.endsWith("weight_format"))!.data[0] = 2;
    expect(await message(tensors, config)).toContain("weight_format is 2: its rows are tiled for old GPUs");
  });

  test("scales that are not finite are told once, by name, when they are read", async () => {
    const { tensors, config, name } = bytes(random(1), [64, 8], [1, 8], "F8_E4M3", "compressed");
    const scale = tensors.find((tensor) => tensor.name.endsWith("_scale"))!;
    new Uint16Array(scale.data.buffer)[3] = 0x7fc0;
    const told: string[] = [];
    const plain = await dequantized(checkpointOf(tensors, config), { warn: (text) => told.push(text) });
    await bytesOf(plain.tensors.get(name)!);
    await bytesOf(plain.tensors.get(name)!);
    expect(told).toEqual([`q: ${scale.name} holds a scale that is not finite (NaN), and so are its weights`]);
  });
});

describe("layouts without a decoder", () => {
  const foreign: [string, Record<string, [Dtype, number[]]>, string?][] = [
    ["AQLM", { "m.up.codes": ["I8", [4, 2, 1]], "m.up.codebooks": ["F16", [1, 256, 1, 8]] }, "aqlm"],
    ["HQQ", { "m.up.W_q": ["U8", [4, 8]], "m.up.scale": ["F16", [4]] }, "hqq"],
    ["EXL2", { "m.up.q_weight": ["I32", [4, 8]], "m.up.q_scale": ["I32", [1, 1]] }, "exl2"],
    ["quanto", { "m.up.weight._data": ["U8", [4, 8]], "m.up.weight._scale": ["F16", [4, 1]] }, "quanto"],
    ["torchao", { "m.up.weight_qdata": ["I8", [4, 8]], "m.up.weight_scale": ["F32", [4, 1]] }, "torchao"],
    ["VPTQ", { "m.up.indices": ["I32", [1, 8, 2]], "m.up.centroids.weight": ["F16", [1, 64]] }, "vptq"],
    ["Marlin", { "m.up.B": ["I32", [4, 8]], "m.up.s": ["F16", [1, 8]], "m.up.workspace": ["I32", [8]] }, "marlin"],
    ["EETQ", { "m.up.weight": ["I8", [4, 8]], "m.up.weight_scales": ["F16", [8]] }, "eetq"],
  ];
  for (const [name, specs, method] of foreign) {
    test(name, async () => {
      const config = { quantization_config: { quant_method: method } };
      expect(await message(make(specs), config)).toMatch(
        new RegExp(`^q is quantized \\(${method}\\): config.json states quant_method ${method} .* no decoder reads`),
      );
      expect(await message(make(specs))).toMatch(/^q is quantized \(/);
    });
  }

  test("other packings of layouts that have one", async () => {
    const one = gptq(random(1), 8, 32, 4, 16, true, false);
    const marlin = { quantization_config: { quant_method: "gptq", bits: 4, checkpoint_format: "marlin" } };
    expect(await message(one.tensors, marlin)).toContain('q is quantized (GPTQ): its checkpoint_format is "\\"marlin');
    const two = awq(random(1), 8, 8, 8);
    const gemv = { quantization_config: { quant_method: "awq", bits: 4, version: "GEMV" } };
    expect(await message(two.tensors, gemv)).toContain("q is quantized (AWQ): its packing is gemv");
    const three = mlx(random(1), [4], 1, 32, 4);
    const mode = { quantization: { group_size: 32, bits: 4, mode: "mxfp4" } };
    expect(await message(three.tensors, mode)).toContain("q is quantized (MLX): its mode is");
    expect(await message(three.tensors)).toContain("no config says how many bits");
    const four = packed(random(1), 8, 32, 4, 16, false, false);
    const settings = four.config.quantization_config;
    const sparse = { quantization_config: { ...settings, sparsity_config: { format: "sparse-24-bitmask" } } };
    expect(await message(four.tensors, sparse)).toContain("its weights are sparse (sparse-24-bitmask)");
    const rotated = { quantization_config: { ...settings, transform_config: { config_groups: { R1: {} } } } };
    expect(await message(four.tensors, rotated)).toContain("its weights are rotated");
  });

  test("codes without scales, with and without a config", async () => {
    const config = { quantization_config: { quant_method: "bitsandbytes" } };
    expect(await message(make({ "m.up.weight": ["U8", [4, 8]] }), config)).toBe(
      "q is quantized (bitsandbytes): m.up.weight is U8 (4, 8) and has no scales, so that its codes mean nothing",
    );
    expect(await message(make({ "m.up.weight": ["I8", [4, 8]] }))).toContain("q is quantized (layout not known)");
    const fp8 = { quantization_config: { quant_method: "fp8" } };
    expect(await message(make({ "m.up.weight": ["F8_E4M3", [4, 8]] }), fp8)).toContain("has no scales");
    // Some have scales, and these have none.
    const some = bytes(random(1), [4, 8], [4, 8], "F8_E4M3", "fp8");
    const lost = make({ "m.down.weight": ["F8_E4M3", [4, 8]] });
    expect(await message([...some.tensors, ...lost], some.config)).toContain("m.down.weight is F8_E4M3 (4, 8)");
  });

  test("codes and a plain tensor of one name", async () => {
    const { tensors, config } = awq(random(1), 8, 8, 8);
    const twice = [...tensors, ...make({ "model.layers.0.mlp.up_proj.weight": ["F16", [8, 8]] })];
    expect(await message(twice, config)).toContain("is there both as codes and as a plain tensor");
  });
});

describe("what stays as it is", () => {
  test("plain tensors, F8 without scales and integers that are no weights", async () => {
    const specs: Record<string, [Dtype, number[]]> = {
      "m.up.weight": ["F8_E4M3", [4, 8]],
      "m.norm.weight": ["BF16", [8]],
      "m.position_ids": ["I64", [1, 8]],
      "m.attn.mask": ["BOOL", [1, 1, 4, 4]],
      logit_scale: ["F32", []],
    };
    const checkpoint = checkpointOf(make(specs), { model_type: "llama" });
    expect(await dequantized(checkpoint)).toBe(checkpoint);
  });

  test("a model that was dequantised and kept its config loses only that", async () => {
    const told: string[] = [];
    const config = { torch_dtype: "bfloat16", quantization_config: { quant_method: "fp8" } };
    const checkpoint = checkpointOf(make({ "m.up.weight": ["BF16", [4, 8]] }), config);
    const plain = await dequantized(checkpoint, { warn: (text) => told.push(text) });
    expect(JSON.parse(new TextDecoder().decode(plain.files.get("config.json")))).toEqual({ torch_dtype: "bfloat16" });
    expect(told).toEqual(["q: config.json says that it is quantized, but no tensor is; it is read as it stands"]);
    expect(plain.quantized).toBeUndefined();
  });

  test("scales of activations are left out, with a word", async () => {
    const { tensors, config, name } = bytes(random(1), [4, 8], [4, 8], "F8_E4M3", "compressed");
    const more = make({
      "model.layers.0.mlp.up_proj.input_scale": ["F32", [1]],
      "model.layers.0.k_scale": ["F32", []],
    });
    const told: string[] = [];
    const plain = await dequantized(checkpointOf([...tensors, ...more], config), { warn: (text) => told.push(text) });
    expect([...plain.tensors.keys()]).toEqual([name]);
    expect(told).toEqual([
      "q: model.layers.0.mlp.up_proj.input_scale and 1 more scale activations, not weights, and are left out",
    ]);
  });
});

describe("pipes", () => {
  /** Layouts whose shape stands in their data. */
  const LATE = /pack-quantized|bitsandbytes FP4/;

  test("are decoded in any order of their tensors, or told why not", () =>
    inFolder(async (folder) => {
      for (const [name, encoded] of Object.entries(ALL)) {
        const plain = make({ "a.weight": ["F32", [3, 5]], "z.weight": ["F32", [7, 2]] });
        for (const order of [[...encoded.tensors], encoded.tensors.toReversed()]) {
          const file = path.join(folder, "x.safetensors");
          const tensors = [plain[0]!, ...order, plain[1]!];
          fs.writeFileSync(file, encodedFile({ ...encoded, tensors }));
          const stdin = fs.openSync(file, "r");
          if (LATE.test(name)) {
            const error = await refusal(() => open("-", { stdin }));
            expect(error.message).toContain("which a pipe brings too late");
            expect(error.hint).toBe("name the file or folder instead of the pipe");
            fs.closeSync(stdin);
            continue;
          }
          const stream = await open("-", { stdin });
          expect([...stream.tensors.keys()]).toEqual(["a.weight", encoded.name, "z.weight"]);
          const read = await Promise.all([...stream.tensors.values()].map(bytesOf));
          const data = [plain[0]!.data, new Uint8Array(encoded.expected.buffer), plain[1]!.data];
          for (const [k, found] of read.entries()) expect([name, Buffer.compare(found, data[k]!)]).toEqual([name, 0]);
          await (stream as unknown as { finish(): Promise<void> }).finish();
          stream.close();
          fs.closeSync(stdin);
        }
      }
    }));
});
