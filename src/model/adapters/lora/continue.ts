/**
 * Reads a PEFT adapter so that it can be trained on: low-rank factors, and the biases and saved modules that it holds
 * whole. What is trained is what PEFT trains (`bias`, `modules_to_save`, `lora_bias` of LoraConfig).
 */

import { alphaWarning } from "../../../checkpoint/adapter/adapter.ts";
import { nameInBase } from "../../../checkpoint/adapter/changes.ts";
import { type AdapterConfig, readAdapterConfig } from "../../../checkpoint/adapter/config.ts";
import { isSavedModule } from "../../../checkpoint/adapter/keys.ts";
import { type Parts, readParts } from "../../../checkpoint/adapter/parts.ts";
import type { Factors } from "../../../checkpoint/adapter/patch.ts";
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import { UserError } from "../../../errors.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { showShape } from "../../../tensor/tensor.ts";
import type { Json, ParameterSpec } from "../../architecture.ts";
import { loadEntry } from "../../load.ts";
import { adaptable, type Target } from "../targets.ts";
import { embeddingEntry, expertsEntry, type FactorReading, linearEntry, stackEntry } from "./continued-factors.ts";
import type { LoraEntry } from "./entry.ts";
import { nestingOf } from "./factor-files.ts";
import { LoraAdapter } from "./lora.ts";

/** The model under the adapter. */
interface Base {
  readonly specs: readonly ParameterSpec[];
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** The names of a head and the embedding that it is tied to. */
  readonly tied: { readonly head: string; readonly table: string } | undefined;
}

interface Reading {
  readonly gpu: Gpu;
  readonly base: Base;
  readonly adapter: Checkpoint;
  readonly config: AdapterConfig;
  readonly parts: Parts;
  readonly warn: (message: string) => void;
}

interface Options {
  /** Takes the place of the adapter's own. */
  readonly dropout: number | undefined;
  readonly warn: (message: string) => void;
  /** Whether the second half of every rank is what is taken out of the base. */
  readonly halved?: boolean;
}

/**
 * The adapter with everything that its file holds, in the model's order. Biases that its config trains and its file
 * lacks begin as the base's. Throws UserError for what training does not know, and where it does not fit the model.
 */
export async function continueLora(
  gpu: Gpu,
  base: Base,
  adapter: Checkpoint,
  { dropout, warn, halved = false }: Options,
): Promise<LoraAdapter> {
  const bytes = adapter.files.get("adapter_config.json");
  const config = readAdapterConfig(bytes, adapter.ref);
  if (config.alpha === 0) warn(alphaWarning(adapter.ref));
  const parts = await readParts(adapter, config);
  const [rows] = parts.tokens.keys();
  if (rows !== undefined)
    throw new UserError(
      `${adapter.ref} replaces rows of ${rows}; such rows cannot be trained further`,
      "merge the adapter, then train a new one",
    );
  const reading: Reading = { gpu, base, adapter, config, parts, warn };
  const entries = entriesOf(reading, { dropout: dropout ?? config.dropout, halved });
  const sorted = new Map(
    adaptable(base.specs).flatMap(({ module }) => {
      const entry = entries.get(module);
      return entry ? [[module, entry] as const] : [];
    }),
  );
  const whole = await wholeOf(reading, new Set(entries.keys()));
  const text = new TextDecoder().decode(bytes);
  const written = dropout === undefined || dropout === config.dropout ? text : withDropout(text, dropout);
  return new LoraAdapter(sorted, written, whole);
}

const withDropout = (text: string, dropout: number): string =>
  `${JSON.stringify({ ...(JSON.parse(text) as Json), lora_dropout: dropout }, null, 2)}\n`;

const isExpert = (specs: readonly ParameterSpec[], tensor: string): boolean =>
  specs.some(({ parts }) => parts?.includes(tensor));

/** The adapter's factors by module. Throws UserError where they do not fit the model. */
function entriesOf(
  { gpu, base, adapter, config, parts, warn }: Reading,
  how: Pick<FactorReading, "dropout" | "halved">,
): Map<string, LoraEntry> {
  const targets = adaptable(base.specs);
  const known = new Map(
    targets.flatMap((target) => target.names.map((name, expert) => [name, { target, expert }] as const)),
  );
  const found = (module: string) => known.get(nameInBase(known, module) ?? "");
  const unfit = (module: string) =>
    new UserError(`${adapter.ref} adapts ${module}, which is no linear layer of this model`, "is it the right base?");
  const reading = { gpu, config, ref: adapter.ref, ...how };
  const entries = new Map<string, LoraEntry>();
  const byTarget = new Map<Target, Map<number, { module: string; factors: Factors }>>();
  for (const [module, factors] of parts.modules) {
    const { target, expert } = found(module) ?? {};
    if (!target || expert === undefined || target.kind === "stack") throw unfit(module);
    if (target.kind === "experts") {
      const own = byTarget.get(target) ?? new Map();
      byTarget.set(target, own.set(expert, { module, factors }));
      continue;
    }
    if (target.kind === "linear" && factors.bBias && !base.parameters.has(`${target.module}.bias`))
      warn(
        `${adapter.ref} has a lora_B bias for ${module}, a layer without a bias: the result can be trained on and read by PEFT, but not merged or evaluated here`,
      );
    const entry = target.kind === "embedding" ? embeddingEntry : linearEntry;
    entries.set(target.module, entry(reading, target, module, factors));
  }
  for (const [target, own] of byTarget) entries.set(target.module, expertsEntry(reading, target, own));
  const stacks = [...parts.stacks].map(([parameter, factors]) => {
    const { target } = found(parameter) ?? {};
    if (target?.kind === "stack") return { parameter, factors, target };
    throw new UserError(
      `${adapter.ref} adapts ${parameter} as one parameter; this model has a layer for each expert`,
      "such an adapter can be run but not trained further: merge it, then train a new one",
    );
  });
  for (const { parameter, factors, target } of stacks) {
    const nested = nestingOf(
      target,
      stacks.map((stack) => stack.target),
    );
    entries.set(target.module, stackEntry(reading, target, parameter, factors, nested));
  }
  return entries;
}

const PREFIX = "base_model.model.";

/** Whether PEFT trains a weight that the adapter holds whole. Vocabularies that it only keeps stay as they are. */
function isTrained(name: string, config: AdapterConfig, adapted: ReadonlySet<string>): boolean {
  if (isSavedModule(name, config)) return true;
  if (!name.endsWith(".bias")) return false;
  return config.bias === "all" || (config.bias === "lora_only" && adapted.has(name.replace(/\.bias$/, "")));
}

/** The biases and saved modules, in f32, by the model's names. `adapted` are the modules with factors. */
async function wholeOf(reading: Reading, adapted: ReadonlySet<string>): Promise<Map<string, Parameter>> {
  const { gpu, base, adapter, config, parts, warn } = reading;
  const given = new Map([...parts.replaced].map(([key, entry]) => [specOf(reading, key, entry.shape).name, entry]));
  if (given.size < parts.replaced.size)
    throw new UserError(`${adapter.ref} has two tensors for one weight of the base`);
  const whole = new Map<string, Parameter>();
  for (const { name, shape, parts: stack } of base.specs) {
    const entry = given.get(name);
    const trained = isTrained(name, config, adapted);
    if (!entry && !trained) continue;
    if (!entry && (stack || !name.endsWith(".bias") || isSavedModule(name, config)))
      throw new UserError(
        `${adapter.ref} trains ${name} by its adapter_config.json, but has no tensor for it`,
        stack ? "weights of routed experts cannot be trained further here" : "the file is incomplete",
      );
    if (!trained) warn(`${adapter.ref}: ${name} is kept as it is, since adapter_config.json does not train it`);
    // PEFT moves the weights of a layer that it adapts below `base_layer`.
    const own = !entry ? adapted.has(name.replace(/\.bias$/, "")) : /\.base_layer\.(weight|bias)$/.test(entry.name);
    const label = PREFIX + (own ? name.replace(/\.(weight|bias)$/, ".base_layer.$1") : name);
    const made = new Parameter(gpu, label, shape, "f32", trained);
    if (entry) await loadEntry(gpu, entry, made, 0);
    else gpu.copy(base.parameters.get(name)!.buffer, 0, made.buffer, 0, made.bytes);
    whole.set(name, made);
  }
  return whole;
}

/** The weight of the model that the adapter holds as `key`. */
function specOf({ base, adapter }: Reading, key: string, shape: readonly number[]): ParameterSpec {
  const { specs, tied } = base;
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const name = nameInBase(byName, key);
  if (tied && (key === tied.head || name === tied.head || name === tied.table))
    throw new UserError(
      `${adapter.ref} saves ${key} as a whole, which unties the head of the base from its embedding`,
      "merge the adapter, which unties them in the result; then train that",
    );
  if (name === undefined)
    throw new UserError(
      `${adapter.ref} changes ${key}, which is ${isExpert(specs, key) ? "a routed expert" : "no weight of this model"}`,
      isExpert(specs, key)
        ? "it can be run but not trained further: merge it, then train the whole model"
        : "the adapter was trained on another base; adapter_config.json names it in base_model_name_or_path",
    );
  const spec = byName.get(name)!;
  if (shape.join() !== spec.shape.join())
    throw new UserError(
      `${adapter.ref}: ${key} is ${showShape(shape)}, but ${name} in the base is ${showShape(spec.shape)}`,
      "merge the adapter if its vocabulary grew; else it was trained on another base",
    );
  return spec;
}
