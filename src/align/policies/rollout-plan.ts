/** What is known of the batches of a run before any answer is sampled. */
import { collate } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { type BatchSizes, batchesOf, updatesOfPass } from "./batches.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";
import type { Efforts } from "./efforts.ts";
import { asksReference, type PolicyBatch } from "./objective.ts";
import type { PolicyPrompts } from "./prompts.ts";
import { headsOf } from "./reward-weights/constrained.ts";

export interface RolloutPlan extends Pick<BatchSource<PolicyBatch>, "groups" | "batchesPerEpoch" | "largest"> {
  readonly read: PolicyPrompts;
  readonly sizes: BatchSizes;
  readonly values: SharedValues;
  readonly efforts?: Efforts | undefined;
  /** Tokens of the longest prompt, as the model reads it. */
  readonly longest: number;
  /** Ids of the method's modes. */
  readonly modes?: readonly number[] | undefined;
  readonly firstWeight?: number | undefined;
  /** Whether answers are made to begin with one of the modes. */
  readonly forced: boolean;
  readonly seed: number;
  /** Id that fills up batches. */
  readonly pad: number;
  /** Whether the policy that sampled is asked for its log-probabilities, before its weights change. */
  readonly asksOld: boolean;
}

/** How answers become updates. Throws UserError where a rollout does not divide into them. */
export function sizesOf(
  { batch_size: rows, accumulate }: { readonly batch_size: number; readonly accumulate: number },
  { method, values }: Bound<PolicyMethod>,
): BatchSizes {
  const { group, prompts_per_step: prompts, updates: passes }: SharedValues = values;
  const kept = method.choice?.most(values) ?? group;
  const together = method.pairs ? 2 : (values as SharedValues).pair_weight > 0 ? group : 1;
  const perUpdate = rows * accumulate;
  const answers = prompts === undefined ? perUpdate : prompts * kept;
  const [whose, of] = kept === group ? ["--group", "groups"] : ["those kept of a group", "groups that keep"];
  if (answers % perUpdate !== 0 || answers % kept !== 0)
    throw new UserError(
      prompts === undefined
        ? `an update of ${perUpdate} answers (--batch-size x --accumulate) is no whole number of ${of} ${kept === group ? "of " : ""}${kept}`
        : `${answers} answers of a rollout (--prompts-per-step x ${whose}) are no whole number of updates of ${perUpdate}`,
      `--batch-size x --accumulate answers make an update: choose a multiple of ${kept === group ? "--group" : kept}, and a rollout of as many or more`,
    );
  if (rows % together !== 0 && method.pairs)
    throw new UserError(`--batch-size ${rows} divides a pair of answers`, "give an even one");
  if (rows % together !== 0)
    throw new UserError(
      `--batch-size ${rows} divides a group of ${group}, whose best and worst answer are a pair of --pair-weight`,
      "give a multiple of --group",
    );
  return { rows, accumulate, answers, passes, together, prompts: answers / kept };
}

/** Plans the batches of a run. */
export function planRollouts(
  { method, values: own }: Bound<PolicyMethod>,
  given: Pick<RolloutPlan, "read" | "sizes" | "seed" | "pad" | "efforts" | "modes">,
): RolloutPlan {
  const { read, sizes, pad } = given;
  const values: SharedValues = own;
  const { kl, kl_in: where, kl_target: target } = values;
  const asked = asksReference({ method, values: own });
  const hasHead = method.value !== undefined;
  const heads = headsOf(method, values);
  const updates = sizes.passes * updatesOfPass(sizes);
  const forced = method.modes?.forced === true;
  const paired = values.pair_weight > 0;
  const buffered = values.buffer !== "none";
  const asksOld =
    updates > 1 ||
    buffered ||
    values.target_entropy !== undefined ||
    forced ||
    hasHead ||
    method.entropies === true ||
    (kl > 0 && (where === "reward" || target !== undefined));
  const longest = read.prompts.reduce((most, { ids }) => Math.max(most, ids.length), 1) + (given.efforts?.tokens ?? 0);
  const rollouts = read.prompts.length / sizes.prompts;
  return {
    ...given,
    values,
    longest,
    forced,
    firstWeight: method.modes?.weight?.(own),
    asksOld,
    groups: read.groups.map(({ name, lengths }) => {
      return { name, rows: lengths.length, tokens: lengths.reduce((a, b) => a + b, 0) };
    }),
    batchesPerEpoch: Math.max(1, Math.round(rollouts * batchesOf(sizes))),
    largest(): PolicyBatch {
      const ids = new Int32Array(longest + values.max_new_tokens);
      const tokens = collate(
        Array.from({ length: sizes.rows }, () => [{ ids, labels: ids, group: 0, place: "" }]),
        { pad },
      );
      const zeros = (wide = 1) => new Float32Array(wide * tokens.rows * tokens.length);
      return {
        tokens,
        weights: zeros(),
        shares: zeros(),
        lengths: new Float32Array(tokens.rows).fill(1),
        advantages: zeros(),
        traits: method.traits ? zeros() : undefined,
        old: updates > 1 || forced || buffered ? zeros() : undefined,
        reference: asked ? zeros() : undefined,
        estimates: hasHead ? zeros(heads) : undefined,
        returns: hasHead ? zeros(heads) : undefined,
        best: paired ? new Float32Array(tokens.rows) : undefined,
        worst: paired ? new Float32Array(tokens.rows) : undefined,
        pairs: paired ? new Float32Array(tokens.rows / values.group) : undefined,
        told: {},
      };
    },
  };
}
