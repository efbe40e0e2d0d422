/**
 * LoRA adapters of a model: y = W x + s (B A x + c) with W frozen, saved in PEFT's format; continue.ts reads them.
 *
 * Hu et al., ICLR 2022, https://arxiv.org/abs/2106.09685; rsLoRA, s = alpha / sqrt(r),
 * https://arxiv.org/abs/2312.03732; DoRA, rows of W + s B A at learnt lengths, https://arxiv.org/abs/2402.09353.
 */

import { tensorName } from "../../../checkpoint/adapter/keys.ts";
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import { UserError } from "../../../errors.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { keyedNormals, keyedUnits } from "../../../keyed-random.ts";
import type { Bound } from "../../../method/bind.ts";
import { dropout } from "../../../tensor/ops/dropout.ts";
import { add, scale as scaled } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { groupedLinear } from "../../../tensor/ops/moe.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { ParameterSpec } from "../../architecture.ts";
import type { AdapterInit, BegunFactors, WeightInit } from "../adapter-init.ts";
import { heldValues } from "../held-values.ts";
import type {
  AdapterTensor,
  EmbeddingPlace,
  ExpertsPlace,
  LinearPlace,
  LiveAdapter,
  StepScale,
} from "../live-adapter.ts";
import { type Target, targetModules, writtenTargets } from "../targets.ts";
import type { LoraEntry } from "./entry.ts";
import { fileTensors, heldShapes, nestingOf } from "./factor-files.ts";
import { linearChange } from "./linear-change.ts";
import { type RowRates, rowRates } from "./row-rates.ts";
import { begunOf, expectBeginnable, setPair } from "./taken-out.ts";

export interface LoraOptions {
  readonly rank: number;
  readonly alpha: number;
  /** As `targetModules` reads them: every linear layer but the head, routers and routed experts when left out. */
  readonly targets?: readonly string[];
  readonly rslora?: boolean;
  readonly dora?: boolean;
  readonly dropout?: number;
  readonly seed: number;
  /** With A drawn and B zero when left out. */
  readonly init?: Bound<AdapterInit>;
  /** How every layer that is adapted begins, where `init` reads data. */
  readonly planned?: ReadonlyMap<string, BegunFactors>;
  /** An adapter to continue. Its own settings hold then; only `dropout` may replace its own. */
  readonly from?: Checkpoint;
  /** Written as `base_model_name_or_path`. */
  readonly base?: string;
}

export class LoraAdapter implements LiveAdapter {
  /** By module, in the model's order. */
  readonly entries: ReadonlyMap<string, LoraEntry>;
  /** The text of adapter_config.json. */
  readonly config: string;
  /** What takes the place of whole weights of the base, by their names there: biases and saved modules. */
  readonly whole: ReadonlyMap<string, Parameter>;
  readonly #rates: RowRates | undefined;

  constructor(
    entries: ReadonlyMap<string, LoraEntry>,
    config: string,
    whole: ReadonlyMap<string, Parameter> = new Map(),
    rates?: RowRates,
  ) {
    this.entries = entries;
    this.config = config;
    this.whole = whole;
    this.#rates = rates;
  }

  withWhole(whole: ReadonlyMap<string, Parameter>, config: string): LoraAdapter {
    return new LoraAdapter(this.entries, config, whole, this.#rates);
  }

  /** The same adapter, whose rows of B A learn at rates of their own. Throws UserError for other than linear layers. */
  withRates(rates: RowRates): LoraAdapter {
    for (const [module, { kind }] of this.entries)
      if (kind !== "linear")
        throw new UserError(
          `rates by row do not go with ${module}: they are for linear layers other than routed experts`,
          "choose --lora-targets, or leave out --adapter allora",
        );
    return new LoraAdapter(this.entries, this.config, this.whole, rates);
  }

  stepScales(): StepScale[] {
    if (this.#rates?.apply !== "lr") return [];
    const { eta } = this.#rates;
    return [...this.entries.values()].map(({ a, b }) => ({
      parameter: b,
      record: (rec) => rowRates(rec, rec.parameter(a), rec.parameter(b), eta),
    }));
  }

  changes(module: string): boolean {
    return this.entries.has(module);
  }

  linear(place: LinearPlace, x: Tensor): Tensor | undefined {
    const entry = this.entries.get(place.module);
    // A tied head does not follow an adapter of the embedding, as with PEFT.
    return !entry || entry.kind === "embedding" ? undefined : linearChange(entry, place, x, this.#rates);
  }

  experts({ rec, module, plan, product }: ExpertsPlace, x: Tensor): Tensor | undefined {
    const entry = this.entries.get(module);
    if (!entry) return undefined;
    const y = product(x);
    const seen = entry.dropout > 0 ? dropout(rec, x, { p: entry.dropout, key: module }) : x;
    const low = groupedLinear(rec, seen, rec.parameter(entry.a), plan); // (N k, r)
    return add(rec, y, scaled(rec, groupedLinear(rec, low, rec.parameter(entry.b), plan), entry.scale));
  }

  embed({ rec, module, weight, rows }: EmbeddingPlace): Tensor | undefined {
    const entry = this.entries.get(module);
    if (entry?.kind !== "embedding") return undefined;
    const y = rows(weight);
    const low = rows(rec.parameter(entry.a)); // (N, r)
    return linear(rec, low, rec.parameter(entry.b), { scale: entry.scale, add: y });
  }

  note(_: unknown, __: string, x: Tensor): Tensor {
    return x;
  }

  /** Everything that the adapter's file holds, by PEFT's names. */
  stored(): AdapterTensor[] {
    const alone = (parameter: Parameter): AdapterTensor => {
      const { name, shape } = parameter;
      return { name, shape, parameter, start: 0 };
    };
    const factors = [...this.entries.values()].flatMap(({ files, bBias, magnitude }) => [
      ...files,
      ...[bBias, magnitude].filter((parameter) => parameter !== undefined).map(alone),
    ]);
    return [...factors, ...[...this.whole.values()].map(alone)];
  }

  /** What is held on the GPU of it. */
  tensors(): Parameter[] {
    const factors = [...this.entries.values()].flatMap(({ a, b, frozen, bBias, magnitude }) =>
      [a, b, frozen?.a, frozen?.b, bBias, magnitude].filter((parameter) => parameter !== undefined),
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

/** Throws UserError for what PEFT has no adapter for. */
export function expectKnown(
  { module, kind }: Target,
  { dora = false, dropout = 0 }: Pick<LoraOptions, "dora" | "dropout">,
) {
  if (dora && kind !== "linear")
    throw new UserError(
      `--dora does not adapt ${module}: it is for linear layers other than routed experts`,
      "leave out --dora, or choose --lora-targets",
    );
  if (dropout > 0 && kind === "stack")
    throw new UserError(
      `${module} is one parameter, and PEFT adapts parameters without dropout`,
      "leave out --lora-dropout",
    );
}

/** A and B of a target as they begin: A uniform within 1/sqrt(in) and B zero; an embedding's A zero and B normal. */
function freshFactors(gpu: Gpu, target: Target, { rank, seed }: LoraOptions): { a: Parameter; b: Parameter } {
  const { names, kind, into, experts } = target;
  const shapes = heldShapes(target, rank);
  const [a, b] = [new Parameter(gpu, ...shapes.a), new Parameter(gpu, ...shapes.b)];
  const zero = kind === "embedding" ? a : b;
  gpu.clear(zero.buffer, 4 * zero.size);
  if (gpu.dry) return { a, b };
  if (kind === "embedding") {
    b.write(keyedNormals(b.size, 1, seed, b.name));
    return { a, b };
  }
  const bound = 1 / Math.sqrt(into);
  const values = new Float32Array(experts * rank * into);
  for (let e = 0; e < experts; e++) {
    const unit = keyedUnits(seed, tensorName(names[e] ?? `${names[0]}.${e}`, "lora_A"));
    const first = e * rank * into;
    for (let i = 0; i < rank * into; i++) values[first + i] = bound * (2 * unit() - 1);
  }
  a.write(values);
  return { a, b };
}

/** Rank and strength of a new adapter, and how its file has them. */
interface Sizes {
  readonly r: number;
  readonly alpha: number;
  readonly rslora: boolean;
}

/** s of B A. */
export const scaleOf = ({ r, alpha, rslora }: Sizes): number => alpha / (rslora ? Math.sqrt(r) : r);

/** Another rank, with an alpha that leaves the scale as it is. */
const withRank = ({ r: before, alpha, rslora }: Sizes, r: number): Sizes => ({
  ...{ r, rslora },
  alpha: alpha * (rslora ? Math.sqrt(r / before) : r / before),
});

/**
 * A new adapter, drawn as PEFT draws it, or begun as `init` says; DoRA's lengths are those of W's rows. `others` are
 * tensors beside the model's. Throws UserError.
 */
export async function freshLora(
  gpu: Gpu,
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Parameter>,
  options: LoraOptions,
  others: readonly string[] = [],
): Promise<LoraAdapter> {
  const { rank, alpha, rslora = false, dora = false, dropout = 0, init, planned } = options;
  if (init && !isOfWeight(init) && !planned) throw new Error(`${init.method.name} without a plan`);
  // The file holds twice the rank where a pair is taken out.
  const usual = withRank({ r: rank, alpha, rslora }, init?.method.takesOut ? 2 * rank : rank);
  const asked = targetModules(specs, options.targets);
  const transposed = new Set(asked.filter(({ kind }) => kind === "linear").map((target) => target.transposed));
  if (transposed.size > 1)
    throw new UserError("--lora-targets: these modules are stored both (in, out) and (out, in)", "target one kind");
  for (const target of asked) {
    expectKnown(target, options);
    if (init) expectBeginnable(target, init, dora);
  }
  const targets = planned ? asked.filter(({ module }) => planned.has(module)) : asked;
  const entries = new Map<string, LoraEntry>();
  const odd = new Map<string, Sizes>();
  for (const target of targets) {
    const { module, kind, out } = target;
    const given = planned?.get(module);
    // Where no part is taken out of the base, the plan gives the ranks too.
    const own = given && !init?.method.takesOut ? given.a.rows : rank;
    const sizes = own === rank ? usual : withRank(usual, own);
    if (sizes !== usual) odd.set(module, sizes);
    const factors = freshFactors(gpu, target, { ...options, rank: own });
    const weight = parameters.get(`${module}.weight`)!;
    let magnitude: Parameter | undefined;
    if (dora) {
      magnitude = new Parameter(gpu, tensorName(module, "lora_magnitude_vector"), [out]);
      if (!gpu.dry) magnitude.write(await rowLengths(gpu, weight, target));
    }
    const scale = scaleOf(sizes);
    const begun = init && isOfWeight(init) ? begunOf({ gpu, target, weight, init, rank, scale }) : given;
    const frozen = init && (await setPair(factors, await begun, { gpu, target, weight, init: init.method }));
    const files = fileTensors(target, { ...factors, frozen }, nestingOf(target, targets));
    entries.set(module, { kind, ...factors, frozen, files, scale, dropout, ...(magnitude ? { magnitude } : {}) });
  }
  const config = freshConfig({ options, usual, odd, targets, selected: writtenTargets(specs, targets, others) });
  return new LoraAdapter(entries, config);
}

/** Whether it looks at weights alone. */
export const isOfWeight = (init: Bound<AdapterInit>): init is Bound<WeightInit> => init.method.needs === "weight";

/** adapter_config.json of a new adapter. `odd`: modules whose rank is not the usual one. */
function freshConfig({
  options,
  usual,
  odd,
  targets,
  selected,
}: {
  readonly options: LoraOptions;
  readonly usual: Sizes;
  readonly odd: ReadonlyMap<string, Sizes>;
  readonly targets: readonly Target[];
  readonly selected: ReturnType<typeof writtenTargets>;
}): string {
  const pattern = (key: "r" | "alpha") => Object.fromEntries([...odd].map(([module, sizes]) => [module, sizes[key]]));
  const config = {
    ...(odd.size > 0 ? { alpha_pattern: pattern("alpha") } : {}),
    base_model_name_or_path: options.base ?? null,
    bias: "none",
    fan_in_fan_out: targets.some(({ kind, transposed }) => kind === "linear" && transposed),
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: usual.alpha,
    lora_dropout: options.dropout ?? 0,
    modules_to_save: null,
    peft_type: "LORA",
    // Stacks (E, out, in) are adapted in the order that PEFT has since then.
    ...(targets.some(({ kind, inFirst }) => kind === "stack" && !inFirst) ? { peft_version: "0.19.1" } : {}),
    r: usual.r,
    ...(odd.size > 0 ? { rank_pattern: pattern("r") } : {}),
    target_modules: selected.modules.length === 0 ? null : selected.modules,
    ...(selected.parameters.length === 0 ? {} : { target_parameters: selected.parameters }),
    task_type: "CAUSAL_LM",
    use_dora: options.dora ?? false,
    use_rslora: usual.rslora,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** Lengths of W's rows (over its inputs), in f64 on the host. */
async function rowLengths(gpu: Gpu, weight: Parameter, { into, out, transposed }: Target): Promise<Float32Array> {
  const w = await heldValues(gpu, weight);
  return Float32Array.from({ length: out }, (_, o) => {
    let square = 0;
    for (let i = 0; i < into; i++) square += w[transposed ? i * out + o : o * into + i]! ** 2;
    return Math.sqrt(square);
  });
}
