/** Query policies as one file of tensors: the network, what it may ask for, and what is lost at best by difficulty. */
import type { Checkpoint, LineageEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import { readNetworks, saveNetworks } from "../../run/small-nets/file.ts";
import { Mlp } from "../../run/small-nets/mlp.ts";
import { FEATURES } from "./play.ts";

const NAME = "query";

export interface QueryPolicy {
  readonly policy: Mlp;
  readonly budget: number;
  readonly difficulties: readonly number[];
  /** The least worst loss of each class that was found; empty where none was looked for. */
  readonly least: readonly number[];
}

export async function savePolicy(out: string, given: QueryPolicy, lineage: readonly LineageEntry[]): Promise<void> {
  const list = (name: string, values: readonly number[]) => ({
    name,
    shape: [values.length],
    values: Float64Array.from(values),
  });
  const about = [list("budget", [given.budget]), list("difficulties", given.difficulties)];
  const least = given.least.length > 0 ? [list("least", given.least)] : [];
  await saveNetworks(out, [...given.policy.tensors(NAME), ...about, ...least], lineage);
}

/** Throws UserError where it is no query policy. */
export async function readPolicy(ref: string): Promise<QueryPolicy & { readonly checkpoint: Checkpoint }> {
  const hint = "make one: bun run curriculum query fit -o policy.safetensors";
  const { checkpoint, tensors } = await readNetworks(ref, { wanted: `${NAME}.0.weight`, what: "query policy", hint });
  const hidden = tensors.get(`${NAME}.0.bias`)?.values.length ?? 0;
  const budget = tensors.get("budget")?.values[0] ?? 0;
  if (!(Number.isInteger(budget) && budget >= 1)) throw new UserError(`${ref} does not say how much it may ask`, hint);
  const sizes = [FEATURES, hidden, hidden, 1];
  const count = sizes.slice(1).reduce((sum, out, i) => sum + out * (sizes[i]! + 1), 0);
  const policy = new Mlp(sizes, new Float64Array(count));
  policy.fill(NAME, tensors, ref);
  const list = (name: string): number[] => [...(tensors.get(name)?.values ?? [])];
  return { policy, budget, difficulties: list("difficulties"), least: list("least"), checkpoint };
}
