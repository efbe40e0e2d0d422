/**
 * The objective of policy gradients: a method's loss of every token of sampled answers, times the token's weight, and
 * the divergence from the model as it was.
 */
import { batchKey, placesOf, type TokenBatch } from "../../data/batch.ts";
import type { Bound } from "../../method/bind.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets } from "../../run/batch-programs.ts";
import type { Objective, RecordedLoss } from "../../run/training/objective.ts";
import { add, mul, scale, square, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";
import { temperatureOf } from "./entropy-target.ts";
import { logProbsOf } from "./log-probs.ts";
import { recordPairs, type WeighedPairLoss } from "./pair-term.ts";
import { clippedSurrogate, clipShares, divergenceOf, importance } from "./surrogate.ts";
import type { ValueHead } from "./value-head.ts";

/** A micro-batch of answers. What is (B, T) has the number of a token where the token before it stands. */
export interface PolicyBatch {
  readonly tokens: TokenBatch;
  /** (B, T) what a token weighs in the loss; 0 where none counts. */
  readonly weights: Float32Array;
  /** (B, T) 1 / tokens of the update where one counts. */
  readonly shares: Float32Array;
  /** (B) tokens of each answer that count, at least 1. */
  readonly lengths: Float32Array;
  /** (B, T) */
  readonly advantages: Float32Array;
  /** (B, T) what a method that has `traits` says of tokens. */
  readonly traits: Float32Array | undefined;
  /** (B, T) log-probabilities under the policy that sampled; undefined while the model still is that policy. */
  readonly old: Float32Array | undefined;
  /** (B, T) those of the model as it was, where the loss asks for them. */
  readonly reference: Float32Array | undefined;
  /** (B, T, H) what the value head foretold, and what followed; of a method that has one, of one reward or several. */
  readonly estimates: Float32Array | undefined;
  readonly returns: Float32Array | undefined;
  /** The pairs of --pair-weight. */
  readonly best: Float32Array | undefined;
  readonly worst: Float32Array | undefined;
  readonly pairs: Float32Array | undefined;
  /** What is told of the rollout, with its steps. */
  readonly told: Readonly<Record<string, number>>;
}

export interface PolicySetup {
  readonly model: Model;
  readonly chosen: Bound<PolicyMethod>;
  readonly recompute: boolean;
  /** Of a method that has `value`. */
  readonly head?: ValueHead | undefined;
  /** Forms of the loss of --pair-weight. */
  readonly pairLosses?: readonly WeighedPairLoss[] | undefined;
}

/** Whether the loss has the divergence from the model as it was. */
const hasDivergence = ({ kl, kl_in }: SharedValues): boolean => kl > 0 && kl_in === "loss";

/** Whether the loss reads likelihoods of the model as it was. */
export const asksReference = ({ method, values }: Bound<PolicyMethod>): boolean =>
  method.pairs !== undefined || hasDivergence(values as SharedValues) || (values as SharedValues).pair_weight > 0;

/** What the loss reads beside log-probabilities. */
export interface PolicyParts {
  /** Whether the model still is the policy that sampled. */
  readonly fresh: boolean;
  readonly rows: number;
  /** (B, T) of the value head. */
  readonly estimates?: Tensor | undefined;
  /** (B, T) nats before every token, with a gradient; for --entropy-weight. */
  readonly entropies?: Tensor | undefined;
  readonly pairLosses?: readonly WeighedPairLoss[] | undefined;
}

/** From log-probabilities to the loss of an update and what is told of it. Inputs are declared by name. */
export function policyLoss(
  rec: Recorder,
  { method, values: own }: Bound<PolicyMethod>,
  logProbs: Tensor,
  given: PolicyParts,
): RecordedLoss {
  const { fresh, rows, estimates, entropies, pairLosses = [] } = given;
  const values: SharedValues = own;
  const { shape } = logProbs; // (B, T)
  const now = stopGradient(rec, logProbs);
  const old = fresh ? now : rec.input("old", shape);
  const weights = rec.input("weights", shape);
  const shares = rec.input("shares", shape);
  const logRatio = sub(rec, logProbs, old);
  const lengths = rec.input("lengths", [rows, 1]);
  const ratio = importance(rec, values.ratio, logRatio, lengths);
  const traits = method.traits && rec.input("traits", shape);
  const read = { logProbs, logRatio, ratio, advantages: rec.input("advantages", shape), traits };
  const terms = { ...read, range: method.range?.(rec, { ...read, values: own }), values };
  const told: Record<string, Tensor> = {
    ...clipShares(rec, { ...terms, ratio: stopGradient(rec, ratio) }),
    old_kl: divergenceOf(rec, "k3", now, old),
  };
  const backward: [Tensor, Tensor][] = [];
  const ofPairs: Record<string, Tensor> = {};
  if (method.pairs) {
    const { losses, margins } = method.pairs(rec, { logProbs, reference: rec.input("reference", shape), values: own });
    // Tokens of an answer weigh 1 / answers in all: those of a pair 1 / pairs.
    const each = rowSum(rec, rec.reshape(weights, [rows / 2, 2 * shape[1]!]));
    backward.push([losses, each]);
    ofPairs.margin = dot(rec, stopGradient(rec, margins), each);
  } else backward.push([(method.tokens ?? clippedSurrogate)(rec, { ...terms, values: own }), weights]);
  let loss = dot(rec, ...backward[0]!);
  if (hasDivergence(values)) {
    const reference = rec.input("reference", shape);
    const kl = divergenceOf(rec, values.kl_estimator, logProbs, reference);
    const weighed = scale(rec, values.kl_unbiased ? mul(rec, kl, ratio) : kl, dynamic("kl_weight"));
    backward.push([weighed, weights]);
    loss = add(rec, loss, dot(rec, weighed, weights));
    told.kl = divergenceOf(rec, "k3", now, reference);
  }
  if (entropies) {
    const lowered = scale(rec, entropies, -values.entropy_weight);
    backward.push([lowered, weights]);
    loss = add(rec, loss, dot(rec, lowered, weights));
  }
  if (pairLosses.length > 0) {
    const reference = rec.input("reference", shape);
    const pairs = recordPairs(rec, { logProbs, reference, lengths, losses: pairLosses, values });
    backward.push([pairs.losses, pairs.weights]);
    loss = add(rec, loss, dot(rec, pairs.losses, pairs.weights));
    Object.assign(ofPairs, pairs.told);
  }
  if (estimates) {
    const wide = estimates.shape; // (B, T), or (B, T, H)
    const heads = sizeOf(wide) / sizeOf(shape);
    /** Sums over the rewards of each token (B, T). */
    const ofTokens = (x: Tensor) => {
      return heads === 1 ? x : rec.reshape(rowSum(rec, rec.reshape(x, [sizeOf(shape), heads])), shape);
    };
    const heard = { old: rec.input("estimates", wide), returns: rec.input("returns", wide) };
    const losses = ofTokens(method.value!(rec, { estimates, ...heard, values: own }));
    backward.push([losses, shares]);
    loss = add(rec, loss, dot(rec, losses, shares));
    told.value_loss = losses;
    told.value_error = ofTokens(square(rec, sub(rec, stopGradient(rec, estimates), heard.returns)));
  }
  const metrics = Object.fromEntries(Object.entries(told).map(([name, x]) => [name, dot(rec, x, shares)]));
  return { backward, metrics: { loss, ...ofPairs, ...metrics } };
}

export function policyObjective({ model, chosen, recompute, head, pairLosses }: PolicySetup): Objective<PolicyBatch> {
  return {
    name: chosen.method.name,
    key: ({ tokens, old }) => `${batchKey(tokens)}${old ? "" : " fresh"}`,
    counted: ({ tokens }) => tokens.counted,
    size: ({ tokens }) => tokens.rows * tokens.length,
    describe: ({ tokens }) => placesOf(tokens),

    record(rec, { tokens, old }) {
      const temperature = temperatureOf(chosen);
      const asked = { temperature, recompute, entropies: (chosen.values as SharedValues).entropy_weight > 0 };
      const { logProbs, hidden, notes, entropies } = logProbsOf(rec, model, tokens, asked);
      const recorded = policyLoss(rec, chosen, logProbs, {
        fresh: old === undefined,
        rows: tokens.rows,
        estimates: head?.record(rec, hidden, logProbs.shape),
        entropies,
        pairLosses,
      });
      const shares = rec.reshape(rec.input("shares", logProbs.shape), [tokens.rows * tokens.length]);
      return { ...recorded, metrics: { ...recorded.metrics, ...Object.fromEntries(notes.means(shares)) } };
    },

    fill(program, { tokens, told: _, ...given }) {
      fillInputs(program, tokens);
      fillTargets(program, tokens);
      for (const [name, data] of Object.entries(given)) if (data && program.takes(name)) program.write(name, data);
    },

    report: (metrics, batches) => ({ ...metrics, ...batches[0]!.told }),
  };
}
