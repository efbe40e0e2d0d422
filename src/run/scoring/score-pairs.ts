/**
 * Pairs of texts as an embedder sees them: the cosine of both, and the place of the second text among all texts of its
 * group by their cosine to the first. Vectors come from the GPU in f32; they are compared on the host in f64.
 */
import { batchKey, type PairInput, stackExamples, textsIn } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Example } from "../../data/examples.ts";
import type { Sentences } from "../../data/tokenization/sentence-template.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { notFinite } from "../not-finite.ts";
import { Programs } from "../programs.ts";
import type { ScoreOptions } from "./score-rows.ts";
import type { ScoredPair, ScoredRow } from "./scored-row.ts";

/** A text, and where it was read. */
interface PlacedText {
  readonly tokens: Sentences;
  readonly place: string;
}

/** Vectors of texts by their tokens, each at length 1. */
export type Vectors = ReadonlyMap<string, Float64Array>;

const nameOf = ({ ids }: Sentences): string => ids.join();

/**
 * Vectors of texts, `rows` at once, each text once. `done` hears of the share of texts that a batch was. Throws
 * UserError for a vector that is not finite.
 */
export async function embedTexts(
  model: Model,
  texts: readonly PlacedText[],
  { ref, rows, signal, done }: Pick<ScoreOptions, "ref" | "rows" | "signal"> & { done?: (share: number) => void },
): Promise<Vectors> {
  const once = new Map(texts.map((text) => [nameOf(text.tokens), text] as const));
  // Texts of like length share a batch; the order decides nothing else.
  const sorted = [...once].sort(([, a], [, b]) => b.tokens.ids.length - a.tokens.ids.length);
  const programs = new Programs(model.gpu);
  const vectors = new Map<string, Float64Array>();
  try {
    for await (const part of inBatches(sorted, rows)) {
      signal.throwIfAborted();
      const batch = stackExamples(part.map(([, { tokens }]) => ({ tokens, label: 0 })));
      const { program } = await programs.get(batchKey(batch), (rec) =>
        rec.output("vectors", model.record(rec, recordInputs(rec, batch)).hidden),
      );
      fillInputs(program, batch);
      await program.start();
      const found = await program.read("vectors"); // (rows, C)
      const width = found.length / part.length;
      for (const [i, [name, { place }]] of part.entries()) {
        const vector = unit(found.subarray(i * width, (i + 1) * width));
        if (!vector.every(Number.isFinite)) throw notFinite(ref, place);
        vectors.set(name, vector);
      }
      done?.(part.length / sorted.length);
    }
  } finally {
    programs.free();
  }
  return vectors;
}

/** A vector of length 1; of zeros as it is. */
function unit(x: Float32Array): Float64Array {
  const values = Float64Array.from(x);
  const length = Math.sqrt(dot(values, values));
  return length === 0 ? values : values.map((value) => value / length);
}

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Scores an embedder on pairs, those of each group among themselves. */
export async function scorePairs(
  model: Model,
  examples: readonly Example[],
  options: ScoreOptions,
): Promise<ScoredRow[]> {
  if (options.visit)
    throw new UserError("--dump writes what a model predicts, and one of vectors predicts nothing", "leave it out");
  const pairs = examples.map(({ place, group, ...example }) => {
    if (!("pair" in example)) throw new TypeError("an embedder is scored on pairs");
    return { ...example.pair, place, group };
  });
  const placed = pairs.flatMap(({ place, ...pair }) => textsIn(pair).map((tokens) => ({ tokens, place })));
  let told = 0;
  let share = 0;
  const vectors = await embedTexts(model, placed, {
    ...options,
    done(part) {
      share += part;
      const rows = Math.round(share * pairs.length);
      options.done?.(rows - told);
      told = rows;
    },
  });
  const groups = Map.groupBy(pairs, ({ group }) => group);
  const candidates = new Map([...groups].map(([group, own]) => [group, candidatesOf(own)] as const));
  return pairs.map((pair) => ({
    group: pair.group,
    targets: new Int32Array(),
    nll: new Float32Array(),
    argmax: new Uint32Array(),
    confidence: new Float32Array(),
    pair: scoredPair(pair, candidates.get(pair.group)!, vectors),
  }));
}

/** Names of the texts that first ones are compared with, each once. */
const candidatesOf = (pairs: readonly PairInput[]): readonly string[] => [
  ...new Set(pairs.flatMap(({ second, negatives }) => [second, ...negatives].map(nameOf))),
];

/** A text that stands on both sides is no candidate for itself. */
function scoredPair({ first, second, score }: PairInput, names: readonly string[], vectors: Vectors): ScoredPair {
  const own = vectors.get(nameOf(first))!;
  const right = nameOf(second);
  const cosine = dot(own, vectors.get(right)!);
  const others = names.filter((name) => name !== right && name !== nameOf(first));
  const nearer = others.filter((name) => dot(own, vectors.get(name)!) >= cosine).length;
  return { cosine, candidates: others.length + 1, rank: 1 + nearer, score };
}
