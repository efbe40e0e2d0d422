/** What config.json says of a model: all that is known before a weight is read. */
import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import { UserError } from "../errors.ts";
import type { Architecture, Json, ModelSizes } from "./architecture.ts";
import { checkUnreadKeys } from "./config-keys.ts";
import { asClassifier, classHeadOf, refusePart } from "./decoder-classifier.ts";
import { asEmbedder, type Embedding, poolingOf } from "./embedder.ts";
import { textLayout, textPart, withHead } from "./multimodal.ts";
import { architectureOf } from "./registry.ts";
import { textArchitecture } from "./text-architecture.ts";

export interface ModelDescription {
  /** config.json as it was read; of a model of several parts the settings of its text part. */
  readonly json: Json;
  /** Tensors of a file beside the weights. */
  readonly beside: ReadonlyMap<string, TensorEntry>;
  readonly architecture: Architecture;
  /** What the architecture read of it. */
  readonly config: unknown;
  readonly sizes: ModelSizes;
}

/** What is known of a checkpoint before its weights are read; of a new model no tensors. */
export interface Source {
  /** Where it is read as an embedder. */
  readonly embeds?: Embedding | undefined;
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly tensors?: ReadonlyMap<string, TensorEntry> | undefined;
}

/** Files of a checkpoint, and how the user named it. */
interface Named {
  readonly ref: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Reads config.json of a checkpoint. Throws UserError when it is missing or not an object. */
export function configOf({ ref, files }: Named): Json {
  const bytes = files.get("config.json");
  if (!bytes)
    throw new UserError(`${ref} has no config.json`, "a model needs one beside its weights or in the file's metadata");
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new UserError(`${ref}: config.json is not JSON: ${(error as Error).message}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${ref}: config.json is not an object`);
  }
  return json as Json;
}

/** A config that remembers the keys which were asked for. */
function watched(json: Json): { readonly json: Json; readonly read: ReadonlySet<string> } {
  const read = new Set<string>();
  const get = (target: Json, key: string | symbol): unknown => {
    if (typeof key === "symbol") return undefined;
    read.add(key);
    return Object.hasOwn(target, key) ? target[key] : undefined;
  };
  return { json: new Proxy(json, { get }), read };
}

/**
 * Reads a config. `ref` names the model in messages. Of a model of several parts it is the text part: over its tensors
 * as `source` has them, and as a plain model without these. Throws UserError for an unknown architecture, a value that
 * does not fit, and a key that changes the equations in a way that the architecture does not read. `warn` is told of
 * keys that nothing is known of.
 */
export async function describeConfig(
  json: Json,
  ref: string,
  warn: (message: string) => void = () => {},
  source?: Source,
): Promise<ModelDescription> {
  const part = textPart(json, `${ref}: config.json`);
  const where = part?.where ?? `${ref}: config.json`;
  const plain = await architectureOf(part?.json ?? json, where);
  const layout = part && source?.tensors ? textLayout(source.tensors, ref) : undefined;
  const own = part ? (layout ? withHead(part, source!.tensors!, layout) : part.json) : json;
  const beside = source?.tensors && plain.beside?.(own, { ref, files: source.files, tensors: source.tensors });
  const read = beside?.json ?? own;
  const whole = layout ? textArchitecture(plain, layout, part!.whole) : plain;
  const { embeds } = source ?? {};
  const classHead = plain.task === "causal-lm" ? classHeadOf(json) : undefined;
  if (part && classHead) refusePart(part.whole, where);
  const architecture = embeds
    ? asEmbedder(whole, ref, poolingOf({ ref, files: source!.files }, warn), embeds)
    : classHead
      ? asClassifier(whole, classHead)
      : whole;
  const asked = watched(read);
  const config = architecture.config(asked.json, where);
  const isRegressor = architecture.regresses?.(config) ?? false;
  const unknown = checkUnreadKeys(read, where, asked.read);
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 5).join(", ");
    const others = unknown.length > 5 ? ` and ${unknown.length - 5} others` : "";
    warn(`${where}: ${shown}${others}: unknown to ${architecture.title} here, and ignored`);
  }
  return {
    json: own,
    beside: beside?.tensors ?? new Map(),
    architecture: isRegressor ? { ...architecture, task: "regressor" } : architecture,
    config,
    sizes: architecture.sizes(config),
  };
}
