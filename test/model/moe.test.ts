/**
 * Mixtures of experts against float64: logits, loss, and sampled entries of every weight's gradient by central
 * differences.
 */
import { describe, expect, test } from "bun:test";
import { turn } from "../../src/model/adapters/lora/factor-files.ts";
import { freshLora, type LoraAdapter } from "../../src/model/adapters/lora/lora.ts";
import type { Architecture, Json, TokenInputs } from "../../src/model/architecture.ts";
import { method as deepseek } from "../../src/model/architectures/deepseek.ts";
import { method as mixtral } from "../../src/model/architectures/mixtral.ts";
import { method as olmoe } from "../../src/model/architectures/olmoe.ts";
import { method as qwen2Moe } from "../../src/model/architectures/qwen2-moe.ts";
import { method as qwen3Moe } from "../../src/model/architectures/qwen3-moe.ts";
import type { SparseConfig } from "../../src/model/blocks/experts.ts";
import { drawParameters } from "../../src/model/fresh.ts";
import type { Loaded } from "../../src/model/load.ts";
import { Network } from "../../src/model/network.ts";
import { crossEntropy } from "../../src/tensor/ops/cross-entropy.ts";
import { dot } from "../../src/tensor/ops/reduce.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals, randomWords } from "../support/random.ts";
import { type FeedForward, referenceLogits, referenceLoss } from "./reference.ts";
import { matvec } from "./reference-parts.ts";

const gpu = await sharedGpu();
const ENTRIES = 3; // of each tensor
const STEP = 1e-4;

const decoder = {
  hidden_size: 20,
  intermediate_size: 14,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 37,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  initializer_range: 0.3,
};

interface Tiny {
  readonly architecture: Architecture<SparseConfig>;
  readonly json: Json;
}

const TINY: Readonly<Record<string, Tiny>> = {
  "Mixtral, 2 of 4": {
    architecture: mixtral,
    json: { ...decoder, model_type: "mixtral", num_local_experts: 4, num_experts_per_tok: 2 },
  },
  "Qwen2-MoE, 2 of 5 and a shared expert, the first layer dense": {
    architecture: qwen2Moe,
    json: {
      ...decoder,
      model_type: "qwen2_moe",
      num_experts: 5,
      num_experts_per_tok: 2,
      moe_intermediate_size: 11,
      shared_expert_intermediate_size: 13,
      mlp_only_layers: [0],
    },
  },
  "Qwen3-MoE, 3 of 5, weights divided by their sum, every second layer dense": {
    architecture: qwen3Moe,
    json: {
      ...decoder,
      model_type: "qwen3_moe",
      head_dim: 6,
      num_experts: 5,
      num_experts_per_tok: 3,
      moe_intermediate_size: 8,
      norm_topk_prob: true,
      decoder_sparse_step: 2,
    },
  },
  "DeepSeek-MoE, 2 of 4 beside shared ones, the first layer dense": {
    architecture: deepseek,
    json: {
      ...{ ...decoder, model_type: "deepseek", num_key_value_heads: 2, first_k_dense_replace: 1 },
      ...{ n_routed_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 7, n_shared_experts: 2 },
    },
  },
  "OLMoE, 1 of 3": {
    architecture: olmoe,
    json: { ...decoder, model_type: "olmoe", num_key_value_heads: 2, num_experts: 3, num_experts_per_tok: 1 },
  },
};

/** (out, in) times a vector. */
const times = (w: Float64Array, x: Float64Array): Float64Array => matvec(w, x, w.length / x.length);

/**
 * The feed-forward network of one token, from the checkpoint's own tensors. `gap` hears how far the last expert that
 * was chosen is from the first that was not: gradients by differences need that no step of theirs changes the choice.
 */
function feedForward(json: Json, gap: (logits: number) => void = () => {}): FeedForward {
  const mix = json.model_type === "mixtral";
  const [gate, up, down] = mix ? ["w1", "w3", "w2"] : ["gate_proj", "up_proj", "down_proj"];
  const normalize = mix || json.norm_topk_prob === true;
  const k = json.num_experts_per_tok as number;
  const step = (json.decoder_sparse_step ?? 1) as number;
  const dense = (json.mlp_only_layers ?? []) as number[];
  return (w, prefix, h, layer) => {
    const gated = (at: string) => {
      const [g, u] = [times(w(`${at}.${gate}.weight`), h), times(w(`${at}.${up}.weight`), h)];
      return times(
        w(`${at}.${down}.weight`),
        g.map((v, i) => (v / (1 + Math.exp(-v))) * u[i]!),
      );
    };
    const at = mix ? `${prefix}.block_sparse_moe` : `${prefix}.mlp`;
    const first = (json.first_k_dense_replace ?? 0) as number;
    if (dense.includes(layer) || layer < first || (layer + 1) % step !== 0) return gated(at);
    const logits = times(w(`${at}.gate.weight`), h);
    const order = Array.from(logits, (_, e) => e).sort((a, b) => logits[b]! - logits[a]!);
    if (k < order.length) gap(logits[order[k - 1]!]! - logits[order[k]!]!);
    const chosen = order.slice(0, k);
    const shares = logits.map((x) => Math.exp(x));
    const whole = normalize ? chosen.reduce((sum, e) => sum + shares[e]!, 0) : shares.reduce((a, b) => a + b);
    const y = new Float64Array(h.length);
    for (const e of chosen)
      for (const [i, v] of gated(`${at}.experts.${e}`).entries()) y[i]! += (shares[e]! / whole) * v;
    if (json.model_type === "deepseek") return gated(`${at}.shared_experts`).map((v, i) => v + y[i]!);
    if (json.model_type !== "qwen2_moe") return y;
    const open = 1 / (1 + Math.exp(-times(w(`${at}.shared_expert_gate.weight`), h)[0]!));
    return gated(`${at}.shared_expert`).map((v, i) => open * v + y[i]!);
  };
}

/** Draws the weights; norms and biases are moved off ones and zeros, where mistakes would hide. */
function drawn({ architecture, json }: Tiny, trainable = true): Loaded & { readonly config: SparseConfig } {
  const config = architecture.config(json, "config.json");
  const hold = () => ({ trainable, dtype: "f32" }) as const;
  const loaded = drawParameters(gpu, architecture.parameters(config), 5, hold);
  for (const [i, { parameter }] of loaded.stored.entries()) {
    if (parameter.shape.length === 1)
      parameter.write(normals(i, parameter.size, 0.3, parameter.name.endsWith("bias") ? 0 : 1));
  }
  return { ...loaded, config };
}

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

async function weightsOf({ stored }: Loaded): Promise<Map<string, Float64Array>> {
  const weights = new Map<string, Float64Array>();
  for (const { name, parameter, start, shape } of stored)
    weights.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, count(shape), 4 * start)));
  return weights;
}

/** Logits and loss of rows of one length, and the gradients where `training`. */
async function recorded(
  { architecture }: Tiny,
  { parameters, config }: ReturnType<typeof drawn>,
  ids: number[][],
  {
    training = false,
    recompute = false,
    adapter,
  }: { readonly training?: boolean; readonly recompute?: boolean; readonly adapter?: LoraAdapter } = {},
): Promise<{ program: Program; notes: string[] }> {
  const rec = new Recorder(profileOf(gpu), { training });
  const [batch, length] = [ids.length, ids[0]!.length];
  const n = batch * length;
  const inputs: TokenInputs = {
    batch,
    length,
    ids: rec.input("ids", [n], "i32"),
    positions: rec.input("positions", [n], "i32"),
  };
  const net = new Network(rec, { parameters, transposed: new Set(), adapter, inputs, recompute });
  const logits = architecture.head(net, config, architecture.forward(net, config, inputs));
  const nll = crossEntropy(rec, logits, rec.input("targets", [n], "i32"));
  const weights = rec.input("weights", [n]);
  rec.output("logits", logits);
  rec.output("loss", dot(rec, nll, weights));
  if (training) rec.backward([[nll, weights]]);
  const program = await Program.compile(gpu, rec);
  const targets = ids.flatMap((row) => [...row.slice(1), -1]);
  program.write("ids", Int32Array.from(ids.flat()));
  program.write(
    "positions",
    Int32Array.from({ length: n }, (_, i) => i % length),
  );
  program.write("targets", Int32Array.from(targets));
  program.write(
    "weights",
    Float32Array.from(targets, (id) => (id < 0 ? 0 : 1 / (n - batch))),
  );
  return { program, notes: [...net.notes.keys()] };
}

const relative = (got: ArrayLike<number>, wanted: Float64Array): number => {
  const most = wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return wanted.reduce((a, b, i) => Math.max(a, Math.abs(b - got[i]!)), 0) / most;
};

const IDS = [
  [1, 5, 7, 2, 9, 36, 0, 3, 3],
  [4, 8, 15, 16, 23, 30, 4, 8, 15],
];

describe.each(Object.entries(TINY))("%s", (_, tiny) => {
  const { json } = tiny;

  test("logits, of several tokens and of one", async () => {
    const model = drawn(tiny);
    const weights = await weightsOf(model);
    for (const ids of [IDS, [[3]]]) {
      const { program } = await recorded(tiny, model, ids);
      program.run();
      const error = relative(await program.read("logits"), referenceLogits(json, weights, { ids }, feedForward(json)));
      expect(error).toBeLessThan(5e-6);
      program.free();
    }
    for (const parameter of model.parameters.values()) parameter.free();
  });

  test("loss and gradients, the same where activations are recomputed", async () => {
    const model = drawn(tiny);
    const weights = await weightsOf(model);
    let smallest = Number.POSITIVE_INFINITY;
    const ffn = feedForward(json, (gap) => {
      smallest = Math.min(smallest, gap);
    });
    const loss = () => referenceLoss(json, weights, { ids: IDS }, ffn);
    const gradients = async (recompute: boolean) => {
      const { program } = await recorded(tiny, model, IDS, { training: true, recompute });
      program.run({ accumulate: 0 });
      expect(Math.abs((await program.read("loss"))[0]! / loss() - 1)).toBeLessThan(2e-6);
      const found = new Map<string, Float32Array>();
      for (const { name, parameter, start, shape } of model.stored)
        found.set(name, await gpu.readFloats(parameter.gradient, count(shape), 4 * start));
      program.free();
      return found;
    };
    const found = await gradients(false);
    expect(await gradients(true)).toEqual(found);

    const word = randomWords(7);
    for (const [name, gradient] of found) {
      const values = weights.get(name)!;
      const most = gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      for (let n = 0; n < ENTRIES; n++) {
        const i = word() % values.length;
        const kept = values[i]!;
        const slope = (h: number) => {
          values[i] = kept + h;
          const above = loss();
          values[i] = kept - h;
          const below = loss();
          values[i] = kept;
          return (above - below) / (2 * h);
        };
        const exact = (4 * slope(STEP / 2) - slope(STEP)) / 3;
        const error = Math.abs(gradient[i]! - exact) / Math.max(most, 1e-3); // some are zero but for rounding
        if (!(error < 2e-5))
          throw new Error(`${name}[${i}]: gradient ${gradient[i]}, by differences ${exact}, largest ${most}`);
      }
    }
    expect(smallest).toBeGreaterThan(1e-3);
    for (const parameter of model.parameters.values()) parameter.free();
  }, 120_000);

  test("gradients of an adapter of every linear layer, routed experts and the embedding included", async () => {
    const model = drawn(tiny, false);
    const base = await weightsOf(model);
    const specs = tiny.architecture.parameters(model.config);
    const options = { rank: 3, alpha: 5, targets: ["all-linear", "embed_tokens"], seed: 2 };
    const adapter = await freshLora(gpu, specs, model.parameters, options);
    const scale = options.alpha / options.rank;
    const factors = new Map<string, Float64Array>();
    for (const [i, { a, b, kind }] of [...adapter.entries.values()].entries()) {
      b.write(normals(i, b.size, 0.2));
      if (kind === "embedding") a.write(normals(i + 99, a.size, 0.2));
    }
    for (const { name, parameter, start, shape, turned } of adapter.stored()) {
      const values = await gpu.readFloats(parameter.buffer, count(shape), 4 * start);
      factors.set(name, Float64Array.from(turned ? turn(values, turned) : values));
    }
    const merged = new Map(base);
    // W + s B A, of the module that holds a factor; an embedding is stored (V, C).
    const merge = (module: string) => {
      const embedded = factors.has(`${module}.lora_embedding_A`);
      const [a, b] = ["A", "B"].map(
        (letter) => factors.get(embedded ? `${module}.lora_embedding_${letter}` : `${module}.lora_${letter}.weight`)!,
      );
      const name = `${module.replace("base_model.model.", "")}.weight`;
      const [into, out] = [a!.length / 3, b!.length / 3];
      const weight = Float64Array.from(base.get(name)!);
      for (let o = 0; o < out; o++)
        for (let i = 0; i < into; i++)
          for (let k = 0; k < 3; k++)
            weight[embedded ? i * out + o : o * into + i]! += scale * b![o * 3 + k]! * a![k * into + i]!;
      merged.set(name, weight);
    };
    const moduleOf = (name: string) => name.replace(/\.lora_.*$/, "");
    for (const name of factors.keys()) merge(moduleOf(name));
    // Every matrix of the file has its factors, but norms' gains and the head.
    const matrices = model.stored.filter(({ name, shape }) => shape.length === 2 && name !== "lm_head.weight");
    expect(factors.size).toBe(2 * matrices.length);

    const loss = () => referenceLoss(json, merged, { ids: IDS }, feedForward(json));
    const { program } = await recorded(tiny, model, IDS, { training: true, adapter });
    program.run({ accumulate: 0 });
    expect(Math.abs((await program.read("loss"))[0]! / loss() - 1)).toBeLessThan(2e-6);
    const word = randomWords(7);
    for (const { name, parameter, start, shape, turned } of adapter.stored()) {
      const raw = await gpu.readFloats(parameter.gradient, count(shape), 4 * start);
      const gradient = turned ? turn(raw, turned) : raw;
      const values = factors.get(name)!;
      const most = gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const i = word() % values.length;
      const kept = values[i]!;
      const at = (value: number) => {
        values[i] = value;
        merge(moduleOf(name));
        return loss();
      };
      const slope = (h: number) => (at(kept + h) - at(kept - h)) / (2 * h);
      const exact = (4 * slope(STEP / 2) - slope(STEP)) / 3;
      at(kept);
      if (!(Math.abs(gradient[i]! - exact) / Math.max(most, 1e-3) < 2e-5))
        throw new Error(`${name}[${i}]: gradient ${gradient[i]}, by differences ${exact}, largest ${most}`);
    }
    program.free();
    adapter.free();
    for (const parameter of model.parameters.values()) parameter.free();
  }, 120_000);
});

test("tensors have the checkpoint's names, and the router's logits are noted where a layer has experts", async () => {
  const names = (name: string) => {
    const { architecture, json } = Object.entries(TINY).find(([key]) => key.startsWith(name))![1];
    const config = architecture.config(json, "config.json");
    return architecture.parameters(config).flatMap((spec) => spec.parts ?? [spec.name]);
  };
  expect(names("Mixtral")).toContain("model.layers.1.block_sparse_moe.experts.3.w2.weight");
  expect(names("Mixtral")).toContain("model.layers.0.block_sparse_moe.gate.weight");
  expect(names("OLMoE")).toContain("model.layers.0.mlp.experts.2.down_proj.weight");
  const shared = names("Qwen2").filter((name) => name.includes("shared"));
  expect(shared).toEqual([
    ...["gate", "up", "down"].map((name) => `model.layers.1.mlp.shared_expert.${name}_proj.weight`),
    "model.layers.1.mlp.shared_expert_gate.weight",
  ]);
  expect(names("Qwen2")).toContain("model.layers.0.mlp.gate_proj.weight");
  expect(names("Qwen2")).toContain("model.layers.1.self_attn.k_proj.bias");

  const tiny = TINY["Qwen3-MoE, 3 of 5, weights divided by their sum, every second layer dense"]!;
  const { program, notes } = await recorded(tiny, drawn(tiny), [[1, 2]]);
  program.free();
  expect(notes.filter((name) => name.startsWith("router"))).toEqual(["router.1"]);
});

test("what is not implemented or cannot be is refused", () => {
  const refused = (name: string, change: Json) => {
    const { architecture, json } = Object.entries(TINY).find(([key]) => key.startsWith(name))![1];
    return () => architecture.config({ ...json, ...change }, "config.json");
  };
  expect(refused("OLMoE", { clip_qkv: 8 })).toThrow("clip_qkv must be null");
  expect(refused("Mixtral", { num_experts_per_tok: 5 })).toThrow(
    "config.json: num_experts_per_tok is 5, and there are 4 experts",
  );
  expect(refused("Qwen2", { use_sliding_window: true })).toThrow("use_sliding_window must be false");
  expect(refused("Mixtral", { num_attention_heads: 6, num_key_value_heads: 4 })).toThrow(
    "config.json: 6 heads (num_attention_heads) cannot share 4 of keys and values (num_key_value_heads)",
  );
  expect(refused("Mixtral", { partial_rotary_factor: 0.5 })).toThrow("partial_rotary_factor must be 1");
  expect(refused("Mixtral", { rope_parameters: { full_attention: { rope_theta: 500 } } })).toThrow(
    "rope_parameters.full_attention is of one kind of layer; all layers share one rotary table here",
  );
});
