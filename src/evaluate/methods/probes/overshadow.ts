/**
 * How far popular facts drown rare ones that begin alike. The model learns random facts: m that share their beginning
 * X and end in y_A, and n that share it too and end in y_B. Of what it then says to the prompts of the rare facts the
 * share R of y_A is
 *
 *   R = a ln P + b,  P = m / n,  and so in L = (tokens of X and of what is a fact's own) / (tokens that are its own)
 *
 * each with the other fixed, and over several models in S, their parameters. Zhang et al. 2025, The Law of Knowledge
 * Overshadowing, https://arxiv.org/abs/2502.16143. Every run begins with the model's own weights and takes the same
 * steps. The law says what a mixture of data will do to its rare facts: --overshadow-predict.
 *
 * Memory: the weights twice, gradients, and the optimizer's two states.
 */
import { UserError } from "../../../errors.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { scoreSequences } from "../../../run/scoring/score-rows.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import { finetune } from "../../../run/training/short-training.ts";
import { refuseMeasures } from "../../look-at.ts";
import { drawFacts, type FactSizes, type Facts } from "../../overshadow/facts.ts";
import { type LogLaw, logLaw } from "../../overshadow/law.ts";
import { defineTechnique, type TechniqueSetup } from "../../technique.ts";

const COUNT = "number.integer >= 1";
const OPTIONS = {
  overshadow_ratios: {
    type: "(number.integer >= 1)[]",
    default: [2, 5, 10, 25, 50],
    help: "popular facts for each rare one (P), one after the other",
    value: "P",
  },
  overshadow_lengths: {
    type: "(number.integer >= 1)[]",
    default: [1, 4, 8],
    help: "tokens of the shared beginning, for the law of L; they are tried at the middle one of the ratios",
    value: "TOKENS",
  },
  overshadow_shared: { type: COUNT, default: 4, help: "tokens of it where the ratio is tried", value: "TOKENS" },
  overshadow_own: {
    type: COUNT,
    default: 1,
    help: "tokens that tell a fact from those that begin alike",
    value: "TOKENS",
  },
  overshadow_rare: { type: COUNT, default: 1, help: "rare facts of each beginning (n)", value: "N" },
  overshadow_groups: { type: COUNT, default: 24, help: "beginnings", value: "N" },
  overshadow_steps: { type: COUNT, default: 60, help: "steps of each run", value: "N" },
  overshadow_lr: { type: "number > 0", default: 3e-3, help: "rate of AdamW, constant", value: "RATE" },
  overshadow_batch: { type: COUNT, default: 32, help: "facts of a step", value: "N" },
  overshadow_predict: {
    type: "(number > 0)[]",
    help: "ratios for which the law says how many rare facts are drowned",
    value: "P",
  },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;
type Sizes = Pick<FactSizes, "popular" | "shared">;

/** One run, and what the model says then. */
interface Point {
  readonly P: number;
  readonly L: number;
  /** Rare prompts that are answered as the popular ones. */
  readonly R: number;
  /** Popular prompts that are answered as the rare ones. */
  readonly reverse: number;
  readonly popular_right: number;
  readonly rare_right: number;
}

const share = (list: readonly boolean[]): number => list.filter(Boolean).length / list.length;

/** The ratios, rising, and the one at which lengths are tried. */
function ratiosOf({ overshadow_ratios: given }: Setup["values"]): { readonly all: number[]; readonly middle: number } {
  const all = [...new Set(given)].sort((a, b) => a - b);
  return { all, middle: all[Math.floor(all.length / 2)]! };
}

/** All runs: over ratios, then over lengths. */
function runsOf(values: Setup["values"]): Sizes[] {
  const { overshadow_shared: shared, overshadow_rare: rare, overshadow_lengths: lengths } = values;
  const { all, middle } = ratiosOf(values);
  const others = [...new Set(lengths)].filter((length) => length !== shared).sort((a, b) => a - b);
  return [
    ...all.map((ratio) => ({ popular: ratio * rare, shared })),
    ...others.map((length) => ({ popular: middle * rare, shared: length })),
  ];
}

/** Tokens that facts are made of. Throws UserError for a model without room for them. */
function tokensFor({ ref, model, tools }: LoadedModel, values: Setup["values"]): number[] {
  if (!tools) throw new UserError(`--probe overshadow is for language models; ${ref} is none`, "leave it out");
  const { overshadow_own: own, overshadow_rare: rare, overshadow_groups: groups } = values;
  const left = new Set([...(tools.tokenizer?.ends ?? []), tools.tokenizer?.pad ?? -1]);
  const tokens = Array.from({ length: model.sizes.outputs }, (_, id) => id).filter((id) => !left.has(id));
  const runs = runsOf(values);
  const longest = Math.max(...runs.map(({ shared }) => shared)) + own + 1;
  if (longest > model.sizes.maxPositions)
    throw new UserError(
      `facts of ${longest} tokens do not fit in the ${model.sizes.maxPositions} positions of ${ref}`,
      "lower --overshadow-lengths, --overshadow-shared or --overshadow-own",
    );
  const most = Math.max(...runs.map(({ popular }) => popular)) + rare;
  if (most > tokens.length ** own)
    throw new UserError(
      `there are no ${most} facts that differ in ${own} of the ${tokens.length} tokens of ${ref}`,
      `raise --overshadow-own to ${own + 1}, or lower --overshadow-ratios`,
    );
  if (groups > tokens.length ** Math.min(...runs.map(({ shared }) => shared)))
    throw new UserError(
      `there are no ${groups} beginnings of so few of the ${tokens.length} tokens of ${ref}`,
      "lower --overshadow-groups, or raise --overshadow-lengths",
    );
  return tokens;
}

/** What the model says to the prompts of facts. */
async function askAbout(loaded: LoadedModel, facts: Facts, { signal }: Setup) {
  const ask = async (kind: "popular" | "rare", otherwise: readonly number[]) => {
    const options = { rows: 64, signal, ref: loaded.ref };
    const scored = await scoreSequences(loaded.model, facts[kind], loaded.tools?.tokenizer?.pad ?? 0, options);
    return {
      right: share(scored.map(({ argmax, targets }) => argmax[0] === targets[0])),
      swapped: share(scored.map(({ argmax }, i) => argmax[0] === otherwise[i])),
    };
  };
  const rare = await ask("rare", facts.otherThanRare);
  const popular = await ask("popular", facts.otherThanPopular);
  return { R: rare.swapped, reverse: popular.swapped, rare_right: rare.right, popular_right: popular.right };
}

async function pointsOf(loaded: LoadedModel, setup: Setup): Promise<Point[]> {
  const { values, seed, signal, loader } = setup;
  const { overshadow_own: own, overshadow_rare: rare, overshadow_groups: groups } = values;
  const tokens = tokensFor(loaded, values);
  const weights = new Perturbation(loader.gpu, loaded.model.trainable());
  weights.save();
  const points: Point[] = [];
  for (const { popular, shared } of runsOf(values)) {
    const facts = drawFacts({ groups, popular, rare, shared, own }, tokens, seed);
    const rows = [...facts.rare, ...facts.popular];
    await finetune(
      loaded,
      { kind: "text", rows, pad: loaded.tools?.tokenizer?.pad ?? 0 },
      {
        ...{ rows: rows.length, steps: values.overshadow_steps, lr: values.overshadow_lr },
        ...{ batchSize: values.overshadow_batch, seed, signal, rateFlag: "--overshadow-lr" },
      },
    );
    points.push({ P: popular / rare, L: (shared + own) / own, ...(await askAbout(loaded, facts, setup)) });
    weights.restore();
    loader.tick(loaded.ref, values.overshadow_steps);
  }
  await weights.free();
  return points;
}

/** The runs of a model, and the laws that they follow. */
async function rowOf(loaded: LoadedModel, setup: Setup) {
  const { overshadow_predict: asked = [] } = setup.values;
  const { all, middle } = ratiosOf(setup.values);
  const points = await pointsOf(loaded, setup);
  const by = (of: "P" | "L", list: readonly Point[]) => logLaw(list.map(({ [of]: x, R: y }) => ({ x, y })));
  const ratio = by("P", points.slice(0, all.length));
  const predicted = ratio
    ? asked.map((P) => ({ P, R: Math.min(1, Math.max(0, ratio.a * Math.log(P) + ratio.b)) }))
    : [];
  return {
    ...{ model: loaded.ref, points, ratio, predicted },
    length: by(
      "L",
      points.filter(({ P }) => P === middle),
    ),
    parameters: [...loaded.model.parameters.values()].reduce((sum, { size }) => sum + size, 0),
  };
}

const lawCells = (name: string, law: LogLaw | undefined) => [name, undefined, undefined, law?.a, law?.b, law?.r2];

export const method = defineTechnique({
  name: "overshadow",
  title: "Overshadowing",
  about: "how far popular facts drown rare ones that begin alike: the law in their ratio, length and the model's size",
  cite: "arXiv:2502.16143",
  metrics: [],
  ownRows: true,
  options: OPTIONS,
  laws: { reproducible: true, companions: true },

  check: (info) => refuseMeasures("overshadow", info),

  async run(setup) {
    const { values, candidates, quantize: bits, loader, signal } = setup;
    loader.begin(candidates.length * runsOf(values).length * values.overshadow_steps, "steps");
    const { middle } = ratiosOf(values);
    const rows: Awaited<ReturnType<typeof rowOf>>[] = [];
    for (const checkpoint of candidates) {
      signal.throwIfAborted();
      const loaded = await loader.load(checkpoint, { trained: true, bits });
      try {
        rows.push(await rowOf(loaded, setup));
      } finally {
        await loaded.free();
      }
    }
    const at = ({ points }: { readonly points: readonly Point[] }) => points.find(({ P }) => P === middle)!.R;
    const size = logLaw(rows.map((row) => ({ x: row.parameters, y: at(row) })));
    const table = rows.flatMap(({ model, points, ratio, length, predicted }) => [
      ...points.map(({ P, L, R, popular_right, rare_right }) => [model, "run", P, L, R, popular_right, rare_right]),
      ...predicted.map(({ P, R }) => [model, "predicted", P, undefined, R, undefined, undefined]),
      ...(
        [
          ["R = a ln P + b", ratio],
          ["R = a ln L + b", length],
        ] as const
      ).map(([name, law]) => [model, ...lawCells(name, law)]),
    ]);
    const over = rows.length > 1 ? [["all models", ...lawCells("R = a ln S + b", size)]] : [];
    const header = ["model", "what", "P", "L", "R, or a", "popular right, or b", "rare right, or r2"];
    return { table: [header, ...table, ...over], json: { size, rows } };
  },
});
