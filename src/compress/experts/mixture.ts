/**
 * A mixture of experts with fewer of them: tensors of experts that go are left out, the others get new numbers, and
 * rows of routers go with their experts. Nothing is read before it is written.
 */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import { isObject, parseJson } from "../../json.ts";
import { layerOf } from "../../model/names.ts";
import { expectHeld } from "../../model/structure/sliced-checkpoint.ts";

/** Keys of config.json that count experts, and those that say how many a token takes. */
const COUNTS = ["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"];
const PER_TOKEN = ["num_experts_per_tok", "experts_per_token", "moe_k"];

/** Experts of every layer that stay, rising, by layer from 0. */
export type KeptExperts = ReadonlyMap<number, readonly number[]>;

export interface Mixture {
  readonly checkpoint: Checkpoint;
  readonly config: Readonly<Record<string, unknown>>;
  readonly experts: number;
  readonly perToken: number;
  /** Modules of routers and experts, by layer. */
  readonly modules: ReadonlyMap<number, string>;
}

const EXPERTS = /^(.+)\.experts\.(?:(\d+)\.)?.+$/;

function configOf({ ref, files }: Checkpoint): Readonly<Record<string, unknown>> {
  const bytes = files.get("config.json");
  const { value } = bytes ? parseJson(new TextDecoder().decode(bytes), `${ref}: config.json`) : { value: undefined };
  if (isObject(value)) return value;
  throw new UserError(`${ref} has no config.json with settings`, "name a folder of a model");
}

/** The first of some keys that a config has, with its number. */
function countIn(config: Readonly<Record<string, unknown>>, keys: readonly string[]): number | undefined {
  const value = keys.map((key) => config[key]).find((found) => typeof found === "number");
  return typeof value === "number" ? value : undefined;
}

/** Throws UserError for a model that is no mixture, or one whose experts cannot go one by one. */
export function mixtureOf(checkpoint: Checkpoint): Mixture {
  const { ref, tensors } = checkpoint;
  const config = configOf(checkpoint);
  const modules = new Map<number, string>();
  const counts = new Map<number, number>();
  for (const { name, shape } of tensors.values()) {
    const [, module, index] = EXPERTS.exec(name) ?? [];
    const layer = module === undefined ? undefined : layerOf(name)?.index;
    if (module === undefined || layer === undefined) continue;
    modules.set(layer, module);
    counts.set(layer, Math.max(counts.get(layer) ?? 0, index === undefined ? (shape[0] ?? 0) : Number(index) + 1));
  }
  const [experts = 0, ...others] = [...new Set(counts.values())];
  if (modules.size === 0) throw new UserError(`${ref} has no experts in its layers`, "name a mixture of experts");
  const stated = countIn(config, COUNTS);
  if (others.length > 0 || stated !== experts)
    throw new UserError(
      `${ref} has ${[...counts.values()].join(", ")} experts in its layers, and its config counts ${stated ?? "none"}`,
      "its kind of mixture is not known here",
    );
  if ((countIn(config, ["n_group"]) ?? 1) > 1)
    throw new UserError(`${ref} chooses experts by groups, which would no longer be even`, "merge experts instead");
  return { checkpoint, config, experts, perToken: countIn(config, PER_TOKEN) ?? 1, modules };
}

/** Parts of an entry along its first dimension, in the order asked for. */
function pickedFirst(entry: TensorEntry, name: string, places: readonly number[]): TensorEntry {
  const [count = 1, ...rest] = entry.shape;
  const each = entry.bytes / count;
  return {
    ...{ name, dtype: entry.dtype, shape: [places.length, ...rest], bytes: each * places.length },
    async read(into, offset) {
      for (let at = 0; at < into.byteLength; ) {
        const [part, inside] = [Math.floor((offset + at) / each), (offset + at) % each];
        const length = Math.min(each - inside, into.byteLength - at);
        await entry.read(into.subarray(at, at + length), places[part]! * each + inside);
        at += length;
      }
    },
  };
}

/** The tensor of the smaller model that a tensor becomes; undefined where it goes. */
function tensorOf(entry: TensorEntry, { modules, experts }: Mixture, kept: KeptExperts): TensorEntry | undefined {
  const { name, shape } = entry;
  const layer = layerOf(name)?.index;
  const module = layer === undefined ? undefined : modules.get(layer);
  const own = layer === undefined ? undefined : kept.get(layer);
  if (module === undefined || own === undefined || !name.startsWith(`${module}.`)) return entry;
  const below = name.slice(module.length + 1);
  const [, index] = /^experts\.(\d+)\./.exec(below) ?? [];
  if (index !== undefined) {
    const place = own.indexOf(Number(index));
    const renamed = `${module}.experts.${place}${below.slice(`experts.${index}`.length)}`;
    return place < 0 ? undefined : { ...entry, name: renamed };
  }
  // Stacks of experts, rows of the router, and biases of its choice.
  return shape[0] === experts && !below.startsWith("shared") ? pickedFirst(entry, name, own) : entry;
}

/** Throws UserError where the architecture cannot hold what is left. */
export async function withExperts(mixture: Mixture, kept: KeptExperts): Promise<Checkpoint> {
  const { checkpoint, config, perToken } = mixture;
  const count = [...kept.values()][0]?.length ?? 0;
  const tensors = new Map<string, TensorEntry>();
  for (const entry of checkpoint.tensors.values()) {
    const made = tensorOf(entry, mixture, kept);
    if (made) tensors.set(made.name, made);
  }
  const changed = Object.fromEntries(
    Object.entries(config).map(([key, value]) => {
      if (COUNTS.includes(key)) return [key, count];
      return [key, PER_TOKEN.includes(key) ? Math.min(perToken, count) : value];
    }),
  );
  await expectHeld(changed, checkpoint.ref, tensors);
  const text = new TextEncoder().encode(`${JSON.stringify(changed, null, 2)}\n`);
  return { ...checkpoint, tensors, files: new Map([...checkpoint.files, ["config.json", text]]) };
}
