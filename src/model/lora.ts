/**
 * LoRA adapters of a model: y = W x + s (B A x + c) with W frozen, saved in PEFT's format; continue-lora.ts reads them.
 *
 * Hu et al., ICLR 2022, https://arxiv.org/abs/2106.09685; rsLoRA, s = alpha / sqrt(r),
 * https://arxiv.org/abs/2312.03732; DoRA, rows of W + s B A at learnt lengths, https://arxiv.org/abs/2402.09353.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodeFloats } from "../checkpoint/decode.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { ParameterSpec } from "./architecture.ts";
import { keyedUnits } from "./fresh.ts";
import { targetNames } from "./target-names.ts";

export interface LoraOptions {
  readonly rank: number;
  readonly alpha: number;
  /** Last parts of module names, or "all-linear": every linear layer but the head, routers and routed experts. */
  readonly targets: readonly string[] | "all-linear";
  readonly rslora?: boolean;
  readonly dora?: boolean;
  readonly dropout?: number;
  readonly seed: number;
  /** An adapter to continue. Its own settings hold then; only `dropout` may replace its own. */
  readonly from?: Checkpoint;
  /** Written as `base_model_name_or_path`. */
  readonly base?: string;
}

export interface LoraEntry {
  /** (r, in) */
  readonly a: Parameter;
  /** (out, r) */
  readonly b: Parameter;
  /** (out): the bias c of B, which PEFT calls lora_bias. */
  readonly bBias?: Parameter;
  /** (out): DoRA's lengths. */
  readonly magnitude?: Parameter;
  readonly scale: number;
  readonly dropout: number;
}

export class LoraAdapter {
  /** By module, in the model's order. */
  readonly entries: ReadonlyMap<string, LoraEntry>;
  /** The text of adapter_config.json. */
  readonly config: string;
  /** What takes the place of whole weights of the base, by their names there: biases and saved modules. */
  readonly whole: ReadonlyMap<string, Parameter>;

  constructor(
    entries: ReadonlyMap<string, LoraEntry>,
    config: string,
    whole: ReadonlyMap<string, Parameter> = new Map(),
  ) {
    this.entries = entries;
    this.config = config;
    this.whole = whole;
  }

  /** Everything that the adapter's file holds, by PEFT's names. */
  tensors(): Parameter[] {
    const factors = [...this.entries.values()].flatMap(({ a, b, bBias, magnitude }) =>
      [a, b, bBias, magnitude].filter((parameter) => parameter !== undefined),
    );
    return [...factors, ...this.whole.values()];
  }

  /** What is trained of it. */
  parameters(): Parameter[] {
    return this.tensors().filter(({ trainable }) => trainable);
  }

  free(): void {
    for (const parameter of this.tensors()) parameter.free();
  }
}

/** PEFT's names of a module's tensors. */
export const tensorName = (module: string, part: "lora_A" | "lora_B" | "lora_magnitude_vector"): string =>
  `base_model.model.${module}.${part}${part === "lora_magnitude_vector" ? "" : ".weight"}`;

/** A linear layer that can be adapted. */
export interface Target {
  /** Name of the layer, without `.weight`. */
  readonly module: string;
  readonly into: number;
  readonly out: number;
  readonly transposed: boolean;
  readonly routes: boolean;
}

/** The linear layers of a model, without routed experts, with their sides. */
export function linears(specs: readonly ParameterSpec[]): Target[] {
  return specs
    .filter(({ linear, parts }) => linear && !parts)
    .map(({ name, shape, transposed = false, routes = false }) => {
      const [out = 0, into = 0] = transposed ? shape.toReversed() : shape;
      return { module: name.replace(/\.weight$/, ""), into, out, transposed, routes };
    });
}

/** The modules that `targets` names. Throws UserError when one of them matches nothing. */
export function targetModules(specs: readonly ParameterSpec[], targets: readonly string[] | "all-linear"): Target[] {
  const all = linears(specs);
  const isHead = ({ module }: Target) => /(^|\.)(lm_head|embed_out|classifier|score)$/.test(module);
  if (targets === "all-linear") return all.filter((target) => !isHead(target) && !target.routes);
  const matches = (module: string, wanted: string) => module === wanted || module.endsWith(`.${wanted}`);
  for (const wanted of targets) {
    if (all.some(({ module }) => matches(module, wanted))) continue;
    const known = [...new Set(all.map(({ module }) => module.split(".").at(-1)!))].sort();
    throw new UserError(
      `--lora-targets ${wanted} matches no linear layer of this model`,
      `there are ${known.join(", ")}`,
    );
  }
  return all.filter(({ module }) => targets.some((wanted) => matches(module, wanted)));
}

/**
 * A new adapter: A uniform within 1/sqrt(in) as PEFT draws it, B zero, DoRA's lengths those of W's rows. `others` are
 * tensors beside the model's.
 */
export async function freshLora(
  gpu: Gpu,
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Parameter>,
  options: LoraOptions,
  others: readonly string[] = [],
): Promise<LoraAdapter> {
  const { rank, alpha, rslora = false, dora = false, dropout = 0, seed } = options;
  const targets = targetModules(specs, options.targets);
  const transposed = new Set(targets.map((target) => target.transposed));
  if (transposed.size > 1)
    throw new UserError("--lora-targets: these modules are stored both (in, out) and (out, in)", "target one kind");
  const entries = new Map<string, LoraEntry>();
  for (const target of targets) {
    const { module, into, out } = target;
    const name = tensorName(module, "lora_A");
    const unit = keyedUnits(seed, name);
    const bound = 1 / Math.sqrt(into);
    const a = new Parameter(gpu, name, [rank, into]);
    if (!gpu.dry) a.write(Float32Array.from({ length: rank * into }, () => bound * (2 * unit() - 1)));
    const b = new Parameter(gpu, tensorName(module, "lora_B"), [out, rank]);
    gpu.clear(b.buffer, 4 * out * rank);
    let magnitude: Parameter | undefined;
    if (dora) {
      magnitude = new Parameter(gpu, tensorName(module, "lora_magnitude_vector"), [out]);
      if (!gpu.dry) magnitude.write(await rowLengths(gpu, parameters.get(`${module}.weight`)!, target));
    }
    const scale = alpha / (rslora ? Math.sqrt(rank) : rank);
    entries.set(module, { a, b, scale, dropout, ...(magnitude ? { magnitude } : {}) });
  }
  const config = {
    base_model_name_or_path: options.base ?? null,
    bias: "none",
    fan_in_fan_out: transposed.has(true),
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: dropout,
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    target_modules: targetNames(linears(specs), targets, others),
    task_type: "CAUSAL_LM",
    use_dora: dora,
    use_rslora: rslora,
  };
  return new LoraAdapter(entries, `${JSON.stringify(config, null, 2)}\n`);
}

/** Lengths of W's rows (over its inputs), in f64 on the host. */
async function rowLengths(gpu: Gpu, weight: Parameter, { into, out, transposed }: Target): Promise<Float32Array> {
  const w = await gpu.read(weight.buffer, 0, weight.bytes, (view) =>
    decodeFloats(view.slice(0, weight.bytes), weight.dtype === "bf16" ? "BF16" : "F32"),
  );
  return Float32Array.from({ length: out }, (_, o) => {
    let square = 0;
    for (let i = 0; i < into; i++) square += w[transposed ? i * out + o : o * into + i]! ** 2;
    return Math.sqrt(square);
  });
}
