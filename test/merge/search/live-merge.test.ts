/** Merges into a live model hold the values that the written checkpoint has, whatever types and shapes there are. */
import { describe, expect, test } from "bun:test";
import type { TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import type { Dtype } from "../../../src/checkpoint/dtype.ts";
import type { MergeMethod } from "../../../src/merge/contract.ts";
import type { ValuedTask } from "../../../src/merge/job/task.ts";
import type { MergePlan } from "../../../src/merge/plan/merge-plan.ts";
import { keptBytes, LiveMerge, standingCheckpoint } from "../../../src/merge/search/live-merge.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { Model } from "../../../src/model/model.ts";
import type { Parameter } from "../../../src/tensor/parameter.ts";
import { sizeOf } from "../../../src/tensor/tensor.ts";
import { entryOf } from "../../support/entry.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { writtenBytes } from "../../support/job.ts";
import { normals } from "../../support/random.ts";

const CONFIG = {
  ...{ model_type: "llama", hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 },
  ...{ num_key_value_heads: 1, vocab_size: 11, max_position_embeddings: 8, tie_word_embeddings: false },
};
const LAYER = "model.layers.0";
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "model.embed_tokens.weight": [11, 8],
  [`${LAYER}.input_layernorm.weight`]: [8],
  [`${LAYER}.self_attn.q_proj.weight`]: [8, 8],
  [`${LAYER}.self_attn.k_proj.weight`]: [4, 8],
  [`${LAYER}.self_attn.v_proj.weight`]: [4, 8],
  [`${LAYER}.self_attn.o_proj.weight`]: [8, 8],
  [`${LAYER}.post_attention_layernorm.weight`]: [8],
  [`${LAYER}.mlp.gate_proj.weight`]: [12, 8],
  [`${LAYER}.mlp.up_proj.weight`]: [12, 8],
  [`${LAYER}.mlp.down_proj.weight`]: [8, 12],
  "model.norm.weight": [8],
  "lm_head.weight": [11, 8],
};

/** Models of one seed each, as the inputs of a plan; embeddings of one more row than the result has where `crop`. */
function planOf(dtype: Dtype, outDtype: Dtype, { crop = false } = {}): MergePlan {
  const tensors = Object.entries(SHAPES).map(([name, shape], k): ValuedTask => {
    const isCut = crop && name === "model.embed_tokens.weight";
    const given = isCut ? [shape[0]! + 1, shape[1]!] : shape;
    const entry = (seed: number): TensorEntry => entryOf(name, dtype, given, normals(100 * seed + k, sizeOf(given)));
    return {
      ...{ name, shape, outDtype, workDtype: dtype === "BF16" || dtype === "F16" ? dtype : "F32", kind: "merge" },
      ...{ base: entry(0), models: [entry(1), entry(2)], modelIndex: [0, 1], values: {}, perModel: [] },
      ...(isCut && { crop: { rows: shape[0]!, columns: shape[1]! } }),
    };
  });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(CONFIG))]]);
  return { method: "", tensors, models: [], inputs: [], files, warnings: [] };
}

const withValues = (plan: MergePlan, values: object, perModel: readonly object[]): MergePlan => ({
  ...plan,
  tensors: plan.tensors.map((task) => ({
    ...task,
    values: { ...values },
    perModel: perModel.map((one) => ({ ...one })),
  })),
});

/** What a parameter holds, as f32. */
async function valuesOf({ buffer, dtype, size, bytes }: Parameter): Promise<Float32Array> {
  const gpu = await sharedGpu();
  return gpu.read(buffer, 0, bytes, (view) =>
    decodeFloats(view.slice(0, bytes), dtype === "bf16" ? "BF16" : "F32").slice(0, size),
  );
}

const SETTINGS = { seed: 3, compatRounding: false, compatBugs: false };

/** Merges twice, the second time with other values, and compares with what is written. */
async function expectAlike(method: MergeMethod, plan: MergePlan, keep: boolean, each: readonly [object, object[]][]) {
  const gpu = await sharedGpu();
  const model = await Model.load(gpu, standingCheckpoint(plan), { dtype: "keep", freeze: () => true });
  const live = await LiveMerge.open({ gpu, model, plan, keep, signal: new AbortController().signal });
  try {
    for (const [values, perModel] of each) {
      const own = withValues(plan, values, perModel);
      await live.merge(own, method, SETTINGS);
      const written = await writtenBytes(gpu, method, own.tensors, SETTINGS);
      for (const { name, outDtype } of own.tensors) {
        const expected = decodeFloats(written.get(name)!, outDtype);
        expect([name, await valuesOf(model.parameters.get(name)!)]).toEqual([name, expected]);
      }
    }
  } finally {
    live.free();
    model.free();
  }
}

const TWICE: [object, object[]][] = [
  [{ lambda: 1, normalize: false }, [{ weight: 0.5 }, { weight: 0.25 }]],
  [{ lambda: 2, normalize: false }, [{ weight: -1 }, { weight: 0.75 }]],
];

describe.each([
  ["models that stay", true],
  ["models that are read again", false],
] as const)("%s", (_, keep) => {
  test.each([
    ["F32", "F32"],
    ["BF16", "BF16"],
    ["F16", "F16"],
    ["BF16", "F32"],
    ["F32", "BF16"],
    ["F64", "F32"],
  ] as const)("%s as %s", async (from, to) => {
    await expectAlike(await loadMethod("merge", "task_arithmetic"), planOf(from, to), keep, TWICE);
  });

  test("with a method that looks at the whole tensor, and one that copies", async () => {
    const ties: [object, object[]][] = [0.3, 0.9].map((density) => [
      { lambda: 1, normalize: true, int8_mask: false },
      [0.5, 1].map((weight) => ({ weight, density })),
    ]);
    await expectAlike(await loadMethod("merge", "ties"), planOf("BF16", "BF16"), keep, ties);
    const plan = planOf("BF16", "BF16");
    const alone = {
      ...plan,
      tensors: plan.tensors.map(({ base, models, ...task }) => ({ ...task, models: models.slice(1) })),
    };
    await expectAlike(await loadMethod("merge", "passthrough"), alone, keep, [[{}, [{}]]]);
  });

  test("of embeddings that are cut to common rows", async () => {
    const plan = planOf("BF16", "BF16", { crop: true });
    await expectAlike(await loadMethod("merge", "task_arithmetic"), plan, keep, TWICE);
  });
});

test("the pool does not grow from trial to trial", async () => {
  const gpu = await sharedGpu();
  const method = await loadMethod("merge", "task_arithmetic");
  const plan = planOf("F32", "F32");
  const model = await Model.load(gpu, standingCheckpoint(plan), { dtype: "keep", freeze: () => true });
  const live = await LiveMerge.open({ gpu, model, plan, keep: true, signal: new AbortController().signal });
  const merge = async (weight: number) => {
    await live.merge(withValues(plan, { lambda: 1, normalize: false }, [{ weight }, { weight }]), method, SETTINGS);
    await valuesOf(model.parameters.get("model.norm.weight")!);
  };
  for (let i = 0; i < 3; i++) await merge(i);
  const { allocated, lent } = gpu.pool;
  for (let i = 0; i < 20; i++) await merge(i);
  expect([gpu.pool.allocated, gpu.pool.lent]).toEqual([allocated, lent]);
  expect(keptBytes(plan)).toBeGreaterThan(0);
  live.free();
  model.free();
});
