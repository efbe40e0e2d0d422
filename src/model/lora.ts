/**
 * LoRA adapters of a model: y = W x + s B A x with W frozen, saved and read in PEFT's format.
 *
 * Hu et al., ICLR 2022, https://arxiv.org/abs/2106.09685; rsLoRA, s = alpha / sqrt(r),
 * https://arxiv.org/abs/2312.03732; DoRA, rows of W + s B A at learnt lengths, https://arxiv.org/abs/2402.09353.
 */

import { nameInBase } from "../checkpoint/adapter/changes.ts";
import { type AdapterConfig, readAdapterConfig, scaleOf } from "../checkpoint/adapter/config.ts";
import { readParts } from "../checkpoint/adapter/parts.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodeFloats } from "../checkpoint/decode.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Parameter } from "../tensor/parameter.ts";
import { showShape } from "../tensor/tensor.ts";
import type { Json, ParameterSpec } from "./architecture.ts";
import { keyedUnits } from "./fresh.ts";

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

  constructor(entries: ReadonlyMap<string, LoraEntry>, config: string) {
    this.entries = entries;
    this.config = config;
  }

  parameters(): Parameter[] {
    return [...this.entries.values()].flatMap(({ a, b, magnitude }) => [a, b, ...(magnitude ? [magnitude] : [])]);
  }

  free(): void {
    for (const parameter of this.parameters()) parameter.free();
  }
}

/** PEFT's names of a module's tensors. */
const tensorName = (module: string, part: "lora_A" | "lora_B" | "lora_magnitude_vector") =>
  `base_model.model.${module}.${part}${part === "lora_magnitude_vector" ? "" : ".weight"}`;

interface Target {
  readonly module: string;
  readonly into: number;
  readonly out: number;
  readonly transposed: boolean;
  readonly routes: boolean;
}

function linears(specs: readonly ParameterSpec[]): Target[] {
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
  const isHead = ({ module }: Target) => /^(lm_head|classifier|score)$/.test(module);
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

/** A new adapter: A uniform within 1/sqrt(in) as PEFT draws it, B zero, DoRA's lengths those of W's rows. */
export async function freshLora(
  gpu: Gpu,
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Parameter>,
  options: LoraOptions,
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
    target_modules: [...new Set(targets.map(({ module }) => shortest(module, specs, targets)))].sort(),
    task_type: "CAUSAL_LM",
    use_dora: dora,
    use_rslora: rslora,
  };
  return new LoraAdapter(entries, `${JSON.stringify(config, null, 2)}\n`);
}

/** The last part of a module's name where it selects only targets, the whole name otherwise. */
function shortest(module: string, specs: readonly ParameterSpec[], targets: readonly Target[]): string {
  const last = module.split(".").at(-1)!;
  const named = linears(specs).filter((target) => target.module === last || target.module.endsWith(`.${last}`));
  return named.every((target) => targets.some((chosen) => chosen.module === target.module)) ? last : module;
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

const withDropout = (text: string, dropout: number): string =>
  `${JSON.stringify({ ...(JSON.parse(text) as Json), lora_dropout: dropout }, null, 2)}\n`;

/** Reads a PEFT adapter so that it can be trained on. Throws UserError for what training does not know. */
export async function continueLora(
  gpu: Gpu,
  specs: readonly ParameterSpec[],
  _parameters: ReadonlyMap<string, Parameter>,
  options: LoraOptions,
): Promise<LoraAdapter> {
  const adapter = options.from!;
  const bytes = adapter.files.get("adapter_config.json");
  const config: AdapterConfig = readAdapterConfig(bytes, adapter.ref);
  const parts = await readParts(adapter, config);
  if (parts.replaced.size > 0 || parts.tokens.size > 0) {
    const what = [...parts.replaced.keys(), ...parts.tokens.keys()][0];
    throw new UserError(
      `${adapter.ref} replaces ${what} as a whole; such weights cannot be trained further`,
      "merge the adapter, then train a new one",
    );
  }
  const known = new Map(linears(specs).map((target) => [target.module, target]));
  const entries = new Map<string, LoraEntry>();
  for (const [module, factors] of parts.modules) {
    const target = known.get(nameInBase(known, module) ?? "");
    if (!target) {
      const isExpert = specs.some(({ parts }) => parts?.includes(`${module}.weight`));
      throw new UserError(
        `${adapter.ref} adapts ${module}, which is ${isExpert ? "a routed expert" : "no linear layer of this model"}`,
        isExpert
          ? "it can be run but not trained further: merge it, then train the whole model"
          : "is it the right base?",
      );
    }
    const { a, b, magnitude } = factors;
    if (!a || !b || factors.bBias || factors.embeddingA)
      throw new UserError(
        `${adapter.ref}: ${module} has tensors besides lora_A and lora_B`,
        "merge the adapter, then train a new one",
      );
    const rank = a.shape[0]!;
    if (a.shape.join() !== [rank, target.into].join() || b.shape.join() !== [target.out, rank].join())
      throw new UserError(
        `${adapter.ref}: ${module} has A ${showShape(a.shape)} and B ${showShape(b.shape)}; the layer is ${showShape([target.out, target.into])}`,
        "the adapter was trained on another base",
      );
    const make = (name: string, values: Float32Array, shape: readonly number[]) => {
      const made = new Parameter(gpu, name, shape);
      made.write(values);
      return made;
    };
    entries.set(target.module, {
      a: make(tensorName(target.module, "lora_A"), a.values, a.shape),
      b: make(tensorName(target.module, "lora_B"), b.values, b.shape),
      scale: scaleOf(config, module, rank),
      dropout: options.dropout ?? config.dropout,
      ...(magnitude
        ? { magnitude: make(tensorName(target.module, "lora_magnitude_vector"), magnitude.values, [target.out]) }
        : {}),
    });
  }
  const order = [...known.keys()];
  const sorted = [...entries].sort(([x], [y]) => order.indexOf(x) - order.indexOf(y));
  const text = new TextDecoder().decode(bytes);
  const { dropout = config.dropout } = options;
  const written = dropout === config.dropout ? text : withDropout(text, dropout);
  return new LoraAdapter(new Map(sorted), written);
}
