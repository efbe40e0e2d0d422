/** Adapters of declared types (format.ts): their tensors sorted, and what they do to a base. */
import { UserError } from "../../errors.ts";
import { type JsonObject, show } from "../../json.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { isFloat } from "../dtype.ts";
import { nameInBase, notFound, type View } from "./changes.ts";
import { type AdapterConfig, parseObject } from "./config.ts";
import { heldEntry, mapEntry, mapWhole, viewEntry } from "./entries.ts";
import { type AdapterFormat, type FileModule, type HostTensor, isShared } from "./format.ts";
import { classify } from "./keys.ts";
import { finiteValues, type Parts } from "./parts.ts";
import { stackPatches } from "./patch.ts";

const PREFIX = "base_model.model.";

/** An adapter's tensors by module and part, what is shared, and what is held whole, by names in the base. */
export interface TypedParts {
  readonly json: JsonObject;
  readonly modules: ReadonlyMap<string, ReadonlyMap<string, HostTensor>>;
  readonly shared: ReadonlyMap<string, HostTensor>;
  readonly replaced: Map<string, TensorEntry>;
}

/** What a config says apart from its type's own settings. Throws UserError as `readAdapterConfig` does. */
export function typedConfig(json: JsonObject, where: string): AdapterConfig {
  const names = (field: string): string[] => {
    const value = json[field] ?? [];
    if (!Array.isArray(value) || !value.every((name) => typeof name === "string"))
      throw new UserError(
        `${where}: adapter_config.json: ${field} is ${JSON.stringify(value)}, expected a list of names`,
      );
    return value;
  };
  const narrowed = ["exclude_modules", "layers_to_transform", "layers_pattern"].some((field) => json[field] != null);
  return {
    ...{
      rank: 1,
      alpha: 1,
      dropout: 0,
      rslora: false,
      rankPattern: [],
      alphaPattern: [],
      dora: false,
      loraBias: false,
    },
    fanInFanOut: json.fan_in_fan_out === true,
    bias: json.bias === undefined || json.bias === "none" ? "none" : "all",
    modulesToSave: names("modules_to_save"),
    ensureWeightTying: false,
    tokenIndices: undefined,
    targets: Array.isArray(json.target_modules) && !narrowed ? names("target_modules") : undefined,
    targetParameters: [],
    peftVersion: undefined,
  };
}

/** adapter_config.json as it is. Throws UserError where there is none. */
export function typedJson({ files, ref }: Checkpoint): JsonObject {
  const bytes = files.get("adapter_config.json");
  if (bytes === undefined)
    throw new UserError(
      `${ref} has adapter tensors but no adapter_config.json`,
      "copy adapter_config.json beside the adapter's tensors",
    );
  return parseObject(bytes, `${ref}: adapter_config.json`);
}

/** Reads all but what is held whole, in the order of the file, as a stream wants it. Throws UserError. */
export async function readTyped(adapter: Checkpoint, format: AdapterFormat): Promise<TypedParts> {
  const json = typedJson(adapter);
  const config = typedConfig(json, adapter.ref);
  const modules = new Map<string, Map<string, HostTensor>>();
  const shared = new Map<string, HostTensor>();
  const replaced = new Map<string, TensorEntry>();
  for (const entry of adapter.tensors.values()) {
    if (!isFloat(entry.dtype))
      throw new UserError(`${adapter.ref}: ${show(entry.name)} is ${entry.dtype}, expected floats`);
    const key = entry.name.startsWith(PREFIX) ? entry.name.slice(PREFIX.length) : entry.name;
    const part = format.parts.find((one) => key.endsWith(`.${one}`));
    if (part === undefined && !isShared(format, entry.name)) {
      replaced.set(wholeTensor(entry, config, adapter.ref, format), await kept(adapter, entry));
      continue;
    }
    const tensor = await finiteValues(adapter.ref, entry);
    if (part === undefined) shared.set(entry.name, tensor);
    else {
      const module = key.slice(0, -part.length - 1);
      modules.set(module, (modules.get(module) ?? new Map()).set(part, tensor));
    }
  }
  return { json, modules, shared, replaced };
}

/** The base's tensor that an entry replaces. Throws UserError for a name that the type does not use. */
function wholeTensor({ name }: TensorEntry, config: AdapterConfig, ref: string, { title, parts }: AdapterFormat) {
  try {
    const part = classify(name, config, ref);
    if (part.kind === "replace") return part.tensor;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
  }
  throw new UserError(
    `${ref}: ${show(name)} is not a known tensor of ${title}`,
    `expected ${parts.join(", ")}, or a module named in modules_to_save`,
  );
}

async function kept(adapter: Checkpoint, entry: TensorEntry): Promise<TensorEntry> {
  if (adapter.kind !== "stream") return entry;
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  return heldEntry(entry, bytes);
}

/** The same as what an adapter of LoRA has, but for factors. */
export const partsOf = ({ replaced }: TypedParts): Parts => ({
  ...{ modules: new Map(), stacks: new Map(), tokens: new Map() },
  replaced,
});

/** The change of every module, on the base's weights and biases. Throws UserError where they do not fit. */
export async function foldTyped(view: View, format: AdapterFormat, parts: TypedParts): Promise<void> {
  const { base, adapter, config, tensors, touched } = view;
  const { json, shared } = parts;
  if (!format.fold)
    throw new UserError(
      format.ahead
        ? `${adapter.ref} is ${format.title}, which stands before every sequence and changes no weight: it cannot be folded`
        : `${adapter.ref} is ${format.title}, whose change depends on the input: it has no weights to fold into`,
      "evaluate or sample it as base+adapter, or continue to train it",
    );
  const found = [...parts.modules].map(([module, own]) => {
    const name = nameInBase(tensors, `${module}.weight`);
    if (name === undefined) throw notFound(`${module}.weight`, base, adapter);
    const entry = tensors.get(name)!;
    const at = `${adapter.ref} changes ${name}, which`;
    if (entry.shape.length !== 2)
      throw new UserError(`${at} is no matrix`, `${format.title} is read for linear layers alone`);
    if (!isFloat(entry.dtype))
      throw new UserError(`${at} is ${entry.dtype}`, "apply the adapter to the base before it was quantized");
    const transposed = config.fanInFanOut;
    const [first = 0, second = 0] = entry.shape;
    const [out, into] = transposed ? [second, first] : [first, second];
    const file: FileModule = {
      ...{ module, into, out, transposed },
      tensor(part) {
        const tensor = own.get(part);
        if (tensor === undefined) throw new UserError(`${adapter.ref} has no ${part} of ${module}`);
        return tensor;
      },
      shared: (key) => shared.get(key),
    };
    return { entry, name, file, module };
  });
  const folds = await format.fold(
    json,
    adapter.ref,
    found.map(({ file }) => file),
  );
  for (const [i, { weight, bias, wholeBias }] of folds.entries()) {
    const { entry, name, module } = found[i]!;
    if (weight) {
      tensors.set(name, viewEntry(entry, { patch: stackPatches(entry, weight, adapter.ref) }));
      touched.add(name);
    }
    const biasName = bias || wholeBias ? nameInBase(tensors, `${module}.bias`) : undefined;
    if (biasName === undefined) continue;
    const before = tensors.get(biasName)!;
    tensors.set(biasName, bias ? mapEntry(before, bias) : mapWhole(before, wholeBias!));
    touched.add(biasName);
  }
}
