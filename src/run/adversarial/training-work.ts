/**
 * The part of a training that moves inputs against the model: adversarial training of Madry et al., ICLR 2018,
 * https://arxiv.org/abs/1706.06083
 */
import type { Batch, ExampleBatch } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { recordOutputs } from "../scoring/recorded-outputs.ts";
import type { BatchSource } from "../training/batch-source.ts";
import { adversarialBatches, prepareAdversary } from "./adversarial-batches.ts";
import { Adversary, type Grows } from "./adversary.ts";
import { EmbeddingAdversary, movedTexts } from "./embedding-adversary.ts";
import { type ADVERSARIAL, attackOf } from "./options.ts";

/** Batches of a classifier of numbers, whose rows are at hand. */
type ExampleSource = BatchSource<ExampleBatch> & { readonly examples: readonly Example[] };

export interface AdversarialWork {
  readonly source: BatchSource<Batch>;
  readonly memory: Readonly<Record<string, number>>;
  free(): void;
}

export interface AdversarialAsked {
  readonly seed: number;
  /** Moved rows come after the rows as they are. */
  readonly beside?: boolean;
  readonly grows?: Grows;
  /** Whether the objective reads moves of embeddings (training/moved-embeddings.ts); texts are refused where not. */
  readonly texts?: boolean;
}

/** Moves of the embeddings of texts. Throws UserError. */
async function textsWork(
  model: Model,
  source: BatchSource<Batch>,
  options: Values<typeof ADVERSARIAL>,
  seed: number,
): Promise<AdversarialWork> {
  if (model.task === "embedder")
    throw new UserError("--adversarial moves rows by themselves, and an embedder is trained on pairs", "leave it out");
  if (options.pgd_range)
    throw new UserError("--pgd-range is of numbers in rows, and embeddings of texts have none", "leave it out");
  const { pgd_epsilon: epsilon, pgd_steps: steps } = options;
  if (epsilon === undefined)
    throw new UserError(
      "--adversarial moves embeddings of texts, and nothing says how far",
      "give --pgd-epsilon, in units of the embeddings: with --pgd-norm l2 it is the length over all tokens of a row",
    );
  const adversary = new EmbeddingAdversary(model, {
    ...{ norm: options.pgd_norm, epsilon, steps, randomStart: options.pgd_random_start, seed },
    stepSize: options.pgd_step_size ?? (2.5 * epsilon) / steps,
  });
  await adversary.prepare(source.largest());
  return {
    source: movedTexts(source, adversary, options.adversarial_share),
    memory: { adversary: adversary.bytes },
    free: () => adversary.free(),
  };
}

/**
 * Batches that are moved against `model`; undefined where --adversarial is not given. `beside`: after the rows as they
 * are. Throws UserError for texts.
 */
export async function adversarialWork(
  model: Model,
  source: BatchSource<Batch> | ExampleSource,
  options: Values<typeof ADVERSARIAL>,
  { seed, beside = false, grows, texts = false }: AdversarialAsked,
): Promise<AdversarialWork | undefined> {
  if (!options.adversarial) return undefined;
  if (texts && model.sizes.example === undefined && !beside && !grows) return textsWork(model, source, options, seed);
  const examples = "examples" in source ? source.examples : [];
  const numbers = examples.flatMap((example) => ("x" in example ? [example] : []));
  if (!("examples" in source) || numbers.length < examples.length)
    throw new UserError("rows of numbers are moved here, and the model reads texts", "leave --adversarial out");
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
