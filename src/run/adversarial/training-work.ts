/**
 * The part of a training that moves inputs against the model: adversarial training of Madry et al., ICLR 2018,
 * https://arxiv.org/abs/1706.06083
 */
import type { ExampleBatch } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { recordOutputs } from "../scoring/recorded-outputs.ts";
import type { BatchSource } from "../training/batch-source.ts";
import { adversarialBatches, prepareAdversary } from "./adversarial-batches.ts";
import { Adversary, type Grows } from "./adversary.ts";
import { type ADVERSARIAL, attackOf } from "./options.ts";

/** Batches of a classifier of numbers, whose rows are at hand. */
type ExampleSource = BatchSource<ExampleBatch> & { readonly examples: readonly Example[] };

export interface AdversarialWork {
  readonly source: BatchSource<ExampleBatch>;
  readonly memory: Readonly<Record<string, number>>;
  free(): void;
}

/**
 * Batches that are moved against `model`; undefined where --adversarial is not given. `beside`: after the rows as they
 * are. Throws UserError for texts.
 */
export async function adversarialWork(
  model: Model,
  source: ExampleSource | object,
  options: Values<typeof ADVERSARIAL>,
  { seed, beside = false, grows }: { readonly seed: number; readonly beside?: boolean; readonly grows?: Grows },
): Promise<AdversarialWork | undefined> {
  if (!options.adversarial) return undefined;
  const examples = "examples" in source ? source.examples : [];
  const numbers = examples.flatMap((example) => ("x" in example ? [example] : []));
  if (!("examples" in source) || numbers.length < examples.length)
    throw new UserError("--adversarial moves numbers, and the model reads texts", "leave it out");
  const share = options.adversarial_share;
  if (beside && share < 1)
    throw new UserError(
      "--adversarial-share leaves rows as they are, and here every row is read both ways",
      "leave it out",
    );
  if (grows && !options.pgd_random_start)
    throw new UserError(
      "--no-pgd-random-start begins where the distance to the row as it is has no slope",
      "leave it out",
    );
  const logits = (rec: Parameters<typeof recordOutputs>[0], inputs: Parameters<typeof recordOutputs>[1]) =>
    recordOutputs(rec, inputs, model, undefined)(0);
  const adversary = new Adversary(model.gpu, logits, attackOf(options, numbers, seed), { grows });
  await prepareAdversary(source, adversary, { share });
  return {
    source: adversarialBatches(source, adversary, { share, beside }),
    memory: { adversary: adversary.bytes },
    free: () => adversary.free(),
  };
}
