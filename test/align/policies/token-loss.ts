/** The loss of a policy-gradient method on given log-probabilities: what it tells, and its gradient. */
import type { PolicyMethod, SharedValues } from "../../../src/align/policies/contract.ts";
import { policyLoss } from "../../../src/align/policies/objective.ts";
import { tokenWeights } from "../../../src/align/policies/token-weights.ts";
import type { Bound } from "../../../src/method/bind.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../support/gpu.ts";

export interface TokenLossGiven {
  readonly rows: number;
  /** (B, T); every token counts. */
  readonly logProbs: Float32Array;
  /** (B, T); the same as `logProbs`, by the recording, when left out. */
  readonly old?: Float32Array;
  readonly reference?: Float32Array;
  /** (B, T) of a method that has `traits`; 0 when left out. */
  readonly traits?: Float32Array;
  /** One for each row. */
  readonly advantages: readonly number[];
}

export async function tokenLoss(
  bound: Bound<PolicyMethod>,
  { rows, logProbs, old, reference, traits, advantages }: TokenLossGiven,
) {
  const gpu = await sharedGpu();
  const values: SharedValues = bound.values;
  const length = logProbs.length / rows;
  const rec = new Recorder(profileOf(gpu));
  const given = rec.watched(rec.input("log-probabilities", [rows, length]));
  const { backward, metrics } = policyLoss(rec, bound, given, { fresh: old === undefined, rows });
  for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
  rec.backward(backward);
  const incoming = rec.incoming(given);
  if (incoming) rec.output("gradient", incoming);
  const program = await Program.compile(gpu, rec);
  const [weights] = tokenWeights(values.aggregate, [advantages.map(() => ({ counted: length }))], length);
  const all = (of: (row: number) => number) => Float32Array.from(logProbs, (_, i) => of(Math.floor(i / length)));
  const inputs: Record<string, Float32Array | undefined> = {
    "log-probabilities": logProbs,
    weights: all((row) => weights![row]!),
    shares: all(() => 1 / logProbs.length),
    lengths: new Float32Array(rows).fill(length),
    advantages: all((row) => advantages[row]!),
    old,
    reference,
    traits: traits ?? new Float32Array(logProbs.length),
  };
  for (const [name, data] of Object.entries(inputs)) if (data && program.takes(name)) program.write(name, data);
  program.run({ accumulate: 0, kl_weight: values.kl });
  const told: Record<string, number> = {};
  for (const name of Object.keys(metrics)) told[name] = (await program.read(name))[0]!;
  const gradient = incoming ? await program.read("gradient") : new Float32Array(logProbs.length);
  program.free();
  return { told, gradient };
}
