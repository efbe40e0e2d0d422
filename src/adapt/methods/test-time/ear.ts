/**
 * EAR: a frozen model, hyperdimensional codes of its layers that say which domain a batch is of, and a small adapter
 * for every domain that is new. "Efficient Model Adaptation for Continual Learning at the Edge", 2023.
 *
 *   known      the mean over the batch of a row's largest cosine to a prototype is at least the 5th percentile of that
 *              of batches of the source; the batch goes to the adapter of the domain to which most rows are nearest
 *   new        an adapter of its own: of the heads alone and of bottlenecks of several ranks, the one with the most
 *              activation patterns on the batch for each of its numbers; prototypes of the batch, by its answers
 *
 * Rows of the source have no adapter, so they are answered as the model does. An adapter learns, by the entropy of its
 * answers, while no newer one has come, and is frozen after that.
 */
import { stackExamples } from "../../../data/batch.ts";
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import { type Code, CodeBook, Hypercoder, layerMeans, percentile } from "../../../run/hypervectors.ts";
import { FeatureReader, type PooledRow } from "../../../run/scoring/pooled-features.ts";
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { FeatureAdapter, type HeadWeights } from "../../growth/feature-adapter.ts";

const SOURCE = "source";
const LOWEST = 0.05;
const RANKS = [0, 8, 16, 64];

const nameOf = (domain: string, label: number): string => `${domain}\0${label}`;
const domainOf = (name: string): string => name.split("\0")[0]!;
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const largest = (values: ArrayLike<number>): number => {
  const list = Array.from(values);
  return list.indexOf(Math.max(...list));
};

/** The linear head of a classifier. Throws UserError where it is another. */
async function headOf({ gpu, parameters }: Model): Promise<HeadWeights> {
  const [weight, bias] = [parameters.get("classifier.weight"), parameters.get("classifier.bias")];
  if (!weight || !bias || parameters.has("domain_heads.0.weight"))
    throw new UserError(
      "ear gives domains heads of their own, and the model's head is no linear layer",
      "take another model",
    );
  const read = async ({ buffer, size }: typeof weight) => Float64Array.from(await gpu.readFloats(buffer, size));
  return { weight: await read(weight), bias: await read(bias) };
}

/** The domain of a batch: that of the most rows, and how like its rows are to what is known. */
function routed(book: CodeBook, codes: readonly Code[]): { readonly domain: string; readonly score: number } {
  const nearest = codes.map((code) => book.nearest(code));
  const votes = new Map<string, number>();
  for (const { name } of nearest) votes.set(domainOf(name), (votes.get(domainOf(name)) ?? 0) + 1);
  const [domain] = [...votes].reduce((a, b) => (b[1] > a[1] ? b : a));
  return { domain, score: mean(nearest.map(({ score }) => score)) };
}

/** The adapter with the most activation patterns for its numbers. */
function chosenAdapter(head: HeadWeights, features: readonly Float32Array[], given: { seed: number; name: string }) {
  const made = RANKS.map((rank) => new FeatureAdapter(head, { ...given, rank }));
  const worth = made.map((one) => new Set(features.map((feature) => one.pattern(feature))).size / one.size);
  return made[worth.indexOf(Math.max(...worth))]!;
}

export const method = testTimeMethod({
  name: "ear",
  title: "Adapters for new domains",
  about: "codes of the layers tell whose rows these are; a new domain gets a small adapter, and the others stay",
  cite: "Efficient Model Adaptation for Continual Learning at the Edge, 2023",
  options: {
    ear_bits: { type: "number.integer >= 1", default: 10_000, help: "signs of a code", value: "Q" },
    ear_steps: { type: "number.integer >= 0", default: 10, help: "steps of an adapter on a batch", value: "N" },
    ear_rate: { type: "number > 0", default: 0.1, help: "rate of these steps", value: "RATE" },
    ear_most: { type: "number.integer >= 0", default: 16, help: "most adapters; after that none is made", value: "N" },
  },
  trains: "none",
  check(_, { hasSource }) {
    if (!hasSource)
      throw new UserError("ear knows its domain by source rows", "give labelled ones: --source rows.jsonl");
  },
  async begin({ model, classes, values, source, batchSize, seed, signal }) {
    const head = await headOf(model);
    const reader = new FeatureReader(model);
    const known: { readonly row: PooledRow; readonly label: number }[] = [];
    for (const rows of source!.inOrder(batchSize)) {
      signal.throwIfAborted();
      const read = await reader.read(stackExamples(rows));
      for (const [i, { label }] of rows.entries()) known.push({ row: read[i]!, label });
    }
    const coder = new Hypercoder(layerMeans(known.map(({ row }) => row.layers)), { bits: values.ear_bits, seed });
    const codes = known.map(({ row }) => coder.code(row.layers));
    const begun = () => {
      const book = new CodeBook();
      for (const [i, { label }] of known.entries()) book.add(nameOf(SOURCE, label), codes[i]!);
      return book;
    };
    let book = begun();
    const batches = Array.from({ length: Math.ceil(codes.length / batchSize) }, (_, i) =>
      codes.slice(i * batchSize, (i + 1) * batchSize),
    );
    const threshold = percentile(
      batches.map((own) => routed(book, own).score),
      LOWEST,
    );
    let bank = new Map<string, FeatureAdapter>();
    let routes = new Map<string, number>();
    const featureOf = ({ layers }: PooledRow) => layers.at(-1)!;
    const answersOf = (domain: string, rows: readonly PooledRow[]) => {
      const adapter = bank.get(domain);
      return rows.map((row) => (adapter ? adapter.logits(featureOf(row)) : [...row.logits]));
    };
    return {
      async predict({ batch }) {
        const rows = await reader.read(batch);
        const { domain } = routed(
          book,
          rows.map(({ layers }) => coder.code(layers)),
        );
        return { scores: Float32Array.from(answersOf(domain, rows).flat()) };
      },
      async learn({ batch }) {
        const rows = await reader.read(batch);
        const own = rows.map(({ layers }) => coder.code(layers));
        const found = routed(book, own);
        const isNew = found.score < threshold && bank.size < values.ear_most;
        const domain = isNew ? `domain ${bank.size + 1}` : found.domain;
        const features = rows.map(featureOf);
        if (isNew) {
          const labels = answersOf(found.domain, rows).map(largest);
          bank.set(domain, chosenAdapter(head, features, { seed, name: domain }));
          for (const [i, label] of labels.entries()) book.add(nameOf(domain, label), own[i]!);
        }
        routes.set(domain, (routes.get(domain) ?? 0) + 1);
        if (domain !== [...bank.keys()].at(-1)) return;
        for (let step = 0; step < values.ear_steps; step++) bank.get(domain)!.step(features, values.ear_rate);
      },
      reset() {
        book = begun();
        bank = new Map();
        routes = new Map();
      },
      tells: () => ({
        adapters: [...bank].map(([domain, { rank, size }]) => ({ domain, rank, numbers: size })),
        routes: Object.fromEntries(routes),
        classes,
        threshold,
      }),
      free: () => reader.free(),
    };
  },
});
