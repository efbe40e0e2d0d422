/** Makes a type of adapter of what one declares: new adapters, adapters that are read, their config and their fold. */

import { nameInBase } from "../../checkpoint/adapter/changes.ts";
import type { AdapterFormat, HostTensor } from "../../checkpoint/adapter/format.ts";
import { isSavedModule } from "../../checkpoint/adapter/keys.ts";
import { readTyped, type TypedParts, typedConfig, typedJson } from "../../checkpoint/adapter/typed.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedNormals, keyedUnits } from "../../keyed-random.ts";
import type { Options, Values } from "../../method/options.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { loadEntry } from "../load.ts";
import type { AdapterType, Making } from "./contract.ts";
import type { AdapterDeclaration, Setup, TensorSpec } from "./declaration.ts";
import { type AdaptedTarget, DeclaredAdapter } from "./declared-adapter.ts";
import { flatModules, foldModules } from "./declared-fold.ts";
import { FOREIGN, given, ownSettings, settingsOf } from "./declared-values.ts";
import { drawnTokens } from "./drawn-tokens.ts";
import { adaptable, isUsual, type Target, targetModules, writtenTargets } from "./targets.ts";

const PREFIX = "base_model.model.";

/** The flag that names targets. */
const FLAG = "--adapter-targets";

/** `peft_type` of a type's config. */
const peftTypeOf = ({ name, peftType }: Pick<AdapterDeclaration<Options>, "name" | "peftType">): string =>
  peftType ?? name.toUpperCase().replaceAll("-", "_");

/** A type from its declaration. */
export function adapterType<const O extends Options>(declared: AdapterDeclaration<O>): AdapterType<O> {
  const {
    name,
    title,
    about,
    cite,
    options,
    explained,
    fold,
    parts,
    sharedParts = [],
    whole,
    ahead,
    taskKey,
  } = declared;
  const peftType = peftTypeOf(declared);
  const format: AdapterFormat = {
    ...{ title, parts, sharedParts },
    ahead: ahead !== undefined,
    fold: fold && ((json, where, modules) => foldModules(declared, json, where, modules)),
    flat: declared.flat && ((json, where, modules) => flatModules(declared, json, where, modules)),
  };
  return {
    ...{ name, title, about, cite, options, peftType, format },
    ...(explained ? { explained } : {}),
    ...(whole ? { whole } : {}),
    ...(taskKey ? { taskKey } : {}),
    ...(ahead
      ? { ahead: async (values, from) => ahead.tokens(from ? await savedSettings(declared, from) : values) }
      : {}),
    fresh: (values, making) => fresh(declared, values, making),
    continued: (_, from, making) => continued(declared, format, from, making),
  };
}

/** The settings of an adapter that is read. Throws UserError. */
const savedSettings = <O extends Options>(declared: AdapterDeclaration<O>, from: Checkpoint): Promise<Values<O>> =>
  settingsOf(declared, typedJson(from), from.ref);

const valuesOf = (gpu: Gpu, { buffer, bytes, dtype }: Parameter): Promise<Float32Array> =>
  gpu.read(buffer, 0, Math.ceil(bytes / 4) * 4, (view) =>
    decodeFloats(view.slice(0, bytes), dtype === "bf16" ? "BF16" : "F32"),
  );

/** Values of a new tensor; undefined for zeros. */
async function beginning(
  { gpu, model, seed }: Pick<Making, "gpu" | "model" | "seed">,
  name: string,
  { shape, begins }: TensorSpec,
  weight: () => Promise<Float32Array>,
): Promise<Float32Array | undefined> {
  const size = shape.reduce((all, side) => all * side, 1);
  if (begins === "zeros") return undefined;
  if (begins === "ones") return new Float32Array(size).fill(1);
  if (begins === "tokens") return drawnTokens(gpu, model, { rows: shape[0]!, seed, name });
  if ("values" in begins) return begins.values;
  if ("from" in begins) return begins.from(await weight());
  if ("normal" in begins) return keyedNormals(size, begins.normal, seed, name);
  const unit = keyedUnits(seed, name);
  return Float32Array.from({ length: size }, () => begins.uniform * (2 * unit() - 1));
}

/** The parameter of a specification, with its values: those given, or those that it begins with. */
async function parameterOf(
  making: Pick<Making, "gpu" | "model" | "seed">,
  name: string,
  spec: TensorSpec,
  weight: () => Promise<Float32Array>,
  given?: Float32Array,
): Promise<Parameter> {
  const { gpu } = making;
  const made = new Parameter(gpu, name, spec.shape, "f32", !spec.fixed);
  made.decays = spec.decays ?? true;
  const values = gpu.dry ? undefined : (given ?? (await beginning(making, name, spec, weight)));
  if (values) made.write(values);
  else gpu.clear(made.buffer, 4 * made.size);
  return made;
}

/** Throws UserError unless the type can change a target. */
function expectKnown<O extends Options>({ title, takes, fanInFanOut }: AdapterDeclaration<O>, target: Target): void {
  if (!takes.includes(target.kind))
    throw new UserError(
      `${title} does not adapt ${target.module}: it is for ${takes.join(", ")} weights`,
      `choose others with ${FLAG}`,
    );
  if (target.transposed && !fanInFanOut)
    throw new UserError(
      `${title} does not adapt ${target.module}, which is stored (in, out): its files have no form for that`,
      "take another type, such as lora",
    );
}

function chosenTargets<O extends Options>(declared: AdapterDeclaration<O>, { model, targets }: Making): Target[] {
  if (declared.takes.length === 0) {
    if (targets === undefined) return [];
    throw new UserError(`${declared.title} changes no layers by name`, `leave out ${FLAG}`);
  }
  const takes = (target: Target) => declared.takes.includes(target.kind);
  const usual = (target: Target) => takes(target) && (declared.usual?.(target) ?? isUsual(target));
  const chosen = targetModules(model.specs, targets, { flag: FLAG, usual });
  if (chosen.length === 0)
    throw new UserError(`${declared.title} finds none of its usual layers in this model`, `name some with ${FLAG}`);
  for (const target of chosen) expectKnown(declared, target);
  if (new Set(chosen.map(({ transposed }) => transposed)).size > 1)
    throw new UserError(`${FLAG}: these modules are stored both (in, out) and (out, in)`, "target one kind");
  return chosen;
}

async function fresh<O extends Options>(
  declared: AdapterDeclaration<O>,
  values: Values<O>,
  making: Making,
): Promise<DeclaredAdapter<O>> {
  const targets = chosenTargets(declared, making);
  const { model, base } = making;
  const setup: Setup<O> = { values, targets, where: `--adapter ${declared.name}`, sizes: model.sizes };
  const made = await parametersOf(declared, making, targets, setup);
  const written = writtenTargets(model.specs, targets, model.others);
  const own = Object.entries(values).map(([option, value]) => [declared.keys?.[option] ?? option, value ?? null]);
  const config = {
    base_model_name_or_path: base ?? null,
    ...(declared.fanInFanOut ? { fan_in_fan_out: targets.some(({ transposed }) => transposed) } : {}),
    inference_mode: true,
    modules_to_save: null,
    ...Object.fromEntries(own),
    peft_type: peftTypeOf(declared),
    target_modules: written.modules.length === 0 ? null : written.modules,
    task_type: "CAUSAL_LM",
    ...declared.config?.(setup, written.modules),
  };
  return new DeclaredAdapter(declared, values, made, `${JSON.stringify(config, null, 2)}\n`, model.sizes);
}

/** The tensors of all targets; `given` has those of a file. */
async function parametersOf<O extends Options>(
  declared: AdapterDeclaration<O>,
  making: Making,
  targets: readonly Target[],
  setup: Setup<O>,
  given?: {
    own(target: Target, part: string, spec: TensorSpec): Float32Array | undefined;
    shared(name: string, spec: TensorSpec): Float32Array | undefined;
  },
): Promise<{ readonly targets: AdaptedTarget[]; readonly shared: Map<string, Parameter> }> {
  const { gpu, model } = making;
  const shared = new Map<string, Parameter>();
  const none = async () => new Float32Array();
  for (const [name, spec] of Object.entries(declared.shared?.(setup) ?? {}))
    shared.set(name, await parameterOf(making, name, spec, none, given?.shared(name, spec)));
  const made: AdaptedTarget[] = [];
  const ownOf = ownSettings(declared, setup.json ?? {}, setup.where);
  for (const target of targets) {
    const { module } = target;
    const weight = () => valuesOf(gpu, model.parameters.get(`${module}.weight`) ?? model.parameters.get(module)!);
    const parts = new Map<string, Parameter>();
    const own = ownOf(module);
    const values = { ...setup.values, ...own };
    for (const [part, spec] of Object.entries(declared.tensors(target, { ...setup, values }))) {
      const held = given?.own(target, part, spec);
      parts.set(part, await parameterOf(making, `${PREFIX}${module}.${part}`, spec, weight, held));
    }
    made.push({ target, parts, values: own });
  }
  return { targets: made, shared };
}

async function continued<O extends Options>(
  declared: AdapterDeclaration<O>,
  format: AdapterFormat,
  from: Checkpoint,
  making: Making,
): Promise<DeclaredAdapter<O>> {
  const { model } = making;
  const parts = await readTyped(from, format);
  const values = await settingsOf(declared, parts.json, from.ref);
  const known = new Map(adaptable(model.specs).map((target) => [target.module, target]));
  const named = new Map<Target, ReadonlyMap<string, HostTensor>>();
  for (const [module, own] of parts.modules) {
    const target = known.get(nameInBase(known, module) ?? "");
    if (!target)
      throw new UserError(`${from.ref} adapts ${module}, which is no layer of this model`, "is it the right base?");
    expectKnown(declared, target);
    named.set(target, own);
  }
  const targets = [...known.values()].filter((target) => named.has(target));
  const setup: Setup<O> = { values, targets, where: from.ref, sizes: model.sizes, json: parts.json };
  const made = await parametersOf(declared, making, targets, setup, {
    own: (target, part, spec) => given(from.ref, `${part} of ${target.module}`, named.get(target)!.get(part), spec),
    shared: (name, spec) => given(from.ref, name, parts.shared.get(name), spec),
  });
  const whole = await wholeOf(from, parts, making);
  const text = new TextDecoder().decode(from.files.get("adapter_config.json"));
  return new DeclaredAdapter(declared, values, made, text, model.sizes, whole);
}

/** The saved modules, in f32, by the model's names. Throws UserError for what would not be trained as it was. */
async function wholeOf(from: Checkpoint, { json, replaced }: TypedParts, { gpu, model }: Making) {
  const config = typedConfig(json, from.ref);
  const byName = new Map(model.specs.map((spec) => [spec.name, spec]));
  const whole = new Map<string, Parameter>();
  for (const [key, entry] of replaced) {
    const name = nameInBase(byName, key);
    const spec = name === undefined ? undefined : byName.get(name);
    if (!spec || spec.shape.join() !== entry.shape.join())
      throw new UserError(`${from.ref} replaces ${key}, which is no weight of this model or of another shape`, FOREIGN);
    if (!isSavedModule(key, config))
      throw new UserError(
        `${from.ref} holds ${key} beside its modules_to_save; such an adapter can be run but not trained further`,
        "merge it, then train a new one",
      );
    if (model.tied && (name === model.tied.head || name === model.tied.table))
      throw new UserError(
        `${from.ref} saves ${key} as a whole, which unties the head of the base from its embedding`,
        "merge the adapter, which unties them in the result; then train that",
      );
    const made = new Parameter(gpu, PREFIX + spec.name, spec.shape);
    await loadEntry(gpu, entry, made, 0);
    whole.set(spec.name, made);
  }
  return whole;
}
