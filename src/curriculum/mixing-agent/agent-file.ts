/** Mixing agents as JSON: how far they look back, and the weights of their policy. */
import { readFileSync } from "node:fs";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import { softmax } from "../../run/simplex.ts";
import { Mlp } from "../../run/small-nets/mlp.ts";
import { policyPass, type SetNet } from "./networks.ts";
import { featureCount, featuresOf, type Known } from "./trajectories.ts";

const HINT = "make one: bun run curriculum mix-agent fit";

export interface Agent {
  readonly history: number;
  readonly hidden: number;
  readonly policy: SetNet;
}

const plain = (weights: Float64Array): number[] => Array.from(weights, (weight) => Number(weight.toPrecision(9)));

export const agentJson = ({ history, hidden, policy }: Agent) => ({
  history,
  hidden,
  encoder: plain(policy.encoder.weights),
  head: plain(policy.head.weights),
});

const isCount = (value: Json | undefined): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 4096;

/** A network of these sizes with the weights of a file. */
function netOf(sizes: readonly number[], weights: Json | undefined, source: string): Mlp {
  const count = sizes.slice(1).reduce((sum, out, i) => sum + out * (sizes[i]! + 1), 0);
  const isWhole =
    Array.isArray(weights) &&
    weights.length === count &&
    weights.every((weight) => typeof weight === "number" && Number.isFinite(weight));
  if (!isWhole) throw new UserError(`--agent ${source} should have ${count} weights of a network`, HINT);
  return new Mlp(sizes, Float64Array.from(weights, Number));
}

/** Reads --agent: a file, or JSON itself. Throws UserError where it is no agent. */
export function readAgent(source: string): Agent {
  let json: Json;
  try {
    json = JSON.parse(/^\s*\{/.test(source) ? source : readFileSync(source, "utf8"));
  } catch (error) {
    throw new UserError(`--agent ${source} cannot be read: ${error instanceof Error ? error.message : error}`, HINT);
  }
  const { history, hidden, encoder, head } = isObject(json) ? json : {};
  if (!isCount(history) || !isCount(hidden)) throw new UserError(`--agent ${source} holds no mixing agent`, HINT);
  const policy = {
    encoder: netOf([featureCount(history), hidden, hidden], encoder, source),
    head: netOf([2 * hidden, hidden, 1], head, source),
  };
  return { history, hidden, policy };
}

/** The mixture that an agent chooses. */
export function mixtureBy({ policy, history }: Agent, known: Known): number[] {
  return softmax([...policyPass(policy, featuresOf(known, history), 1, known.natural.length).out]);
}
