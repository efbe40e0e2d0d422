/**
 * Whether a model of `data coins` remembers its coins or estimates any coin's bias. Two ideal observers read the same
 * flips: M knows the D coins that there are, G knows that biases are spread evenly. Of the model's probabilities
 *
 *   p = w M + (1 - w) G,  w the weight with the least KL(p || ...) in the mean over places
 *
 * w is 1 where it remembers, 0 where it generalises. Sequences are of the D coins (`known`) and of any coins (`new`): a
 * model that remembers is worse than G on new ones. Wurgaft et al. 2025, In-Context Learning Strategies Emerge
 * Rationally, https://arxiv.org/abs/2506.17859, checkpoint by checkpoint: give those of a training in their order. The
 * law in the number of coins and sequences is not fitted.
 */
import { collate } from "../../../data/batch.ts";
import { BEGIN, coinBiases, flips, gridBiases, HEADS, predictive, TAILS } from "../../../data/coins.ts";
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { AllLogits } from "../../../run/scoring/all-logits.ts";
import { binaryLoss, type Mixed, mixtureWeight } from "../../icl-mixture.ts";
import { refuseMeasures } from "../../look-at.ts";
import { defineTechnique, type TechniqueSetup } from "../../technique.ts";

const COUNT = "number.integer >= 1";
const OPTIONS = {
  icl_strategy_coins: {
    type: "1 <= number.integer <= 65536",
    default: 16,
    help: "coins that the model was trained on, as data coins --coins",
    value: "D",
  },
  icl_strategy_seed: { type: "number.integer >= 0", default: 0, help: "seed of those coins", value: "SEED" },
  icl_strategy_length: { type: "1 <= number.integer <= 4096", default: 32, help: "flips of a sequence", value: "N" },
  icl_strategy_sequences: { type: COUNT, default: 64, help: "sequences of the coins, and as many of any", value: "N" },
  icl_strategy_batch: { type: COUNT, default: 32, help: "sequences at once", value: "N" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;
type Kind = "known" | "new";

/** Sequences with what both observers say before each flip. */
interface Asked {
  readonly ids: readonly number[];
  readonly memory: readonly number[];
  readonly general: readonly number[];
}

function askedOf(kind: Kind, { values, seed }: Setup): Asked[] {
  const coins = coinBiases(values.icl_strategy_seed, values.icl_strategy_coins);
  const grid = gridBiases();
  return Array.from({ length: values.icl_strategy_sequences }, (_, i) => {
    const random = new Random(seed, "icl-strategy", kind, i);
    const ids = flips(kind === "known" ? coins : grid, values.icl_strategy_length, random);
    return { ids, memory: predictive(coins, ids), general: predictive(grid, ids) };
  });
}

/** P(heads) before every flip of every sequence, by the model; of heads and tails alone. */
async function saidBy(
  { model, ref, tools }: LoadedModel,
  asked: readonly Asked[],
  { values, signal, loader }: Setup,
): Promise<number[][]> {
  const reader = new AllLogits(model);
  const found: number[][] = [];
  try {
    for (let at = 0; at < asked.length; at += values.icl_strategy_batch) {
      signal.throwIfAborted();
      const part = asked.slice(at, at + values.icl_strategy_batch);
      const sequences = part.map(({ ids }) => [
        { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: ref },
      ]);
      const batch = collate(sequences, { pad: tools?.tokenizer?.pad ?? BEGIN! });
      const logits = await reader.of(batch);
      for (const [row, { ids }] of part.entries())
        found.push(
          ids.slice(1).map((_, place) => {
            const from = (row * batch.length + place) * reader.outputs;
            return 1 / (1 + Math.exp(logits[from + TAILS!]! - logits[from + HEADS!]!));
          }),
        );
      loader.tick(ref, part.length);
    }
  } finally {
    reader.free();
  }
  return found;
}

/** What a model's probabilities of sequences say of it. */
function told(asked: readonly Asked[], said: readonly (readonly number[])[]) {
  const places: Mixed[] = asked.flatMap(({ memory, general }, i) =>
    said[i]!.map((model, t) => ({ model, memory: memory[t]!, general: general[t]! })),
  );
  const flipped = asked.flatMap(({ ids }) => ids.slice(1).map((id) => id === HEADS));
  const loss = (of: keyof Mixed) =>
    binaryLoss(
      places.map((place) => place[of]),
      flipped,
    );
  return { ...mixtureWeight(places), loss: loss("model"), loss_memory: loss("memory"), loss_general: loss("general") };
}

export const method = defineTechnique({
  name: "icl-strategy",
  title: "Strategies in context",
  about: "of a model of data coins: whether it remembers its coins or estimates any coin's bias from the flips",
  cite: "arXiv:2506.17859",
  metrics: [],
  ownRows: true,
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check: (info) => refuseMeasures("icl-strategy", info),

  async run(setup) {
    const { values, candidates, quantize: bits, loader } = setup;
    const asked = { known: askedOf("known", setup), new: askedOf("new", setup) };
    loader.begin(candidates.length * 2 * values.icl_strategy_sequences, "sequences");
    const rows = [];
    for (const checkpoint of candidates) {
      const loaded = await loader.load(checkpoint, { bits });
      try {
        const { sizes } = loaded.model;
        if (!loaded.tools || sizes.outputs <= BEGIN! || sizes.maxPositions <= values.icl_strategy_length)
          throw new UserError(
            `${loaded.ref} cannot read ${values.icl_strategy_length} flips of data coins`,
            "it takes a language model of 3 tokens or more and a position more than flips; lower --icl-strategy-length",
          );
        const of = async (kind: Kind) => told(asked[kind], await saidBy(loaded, asked[kind], setup));
        rows.push({ model: loaded.ref, known: await of("known"), new: await of("new") });
      } finally {
        await loaded.free();
      }
    }
    const header = ["model", "sequences of", "w", "KL", "loss", "loss of M", "loss of G"];
    const table = rows.flatMap((row) =>
      (["known", "new"] as const).map((kind) => {
        const { weight, kl, loss, loss_memory, loss_general } = row[kind];
        return [row.model, `${kind} coins`, weight, kl, loss, loss_memory, loss_general];
      }),
    );
    return { table: [header, ...table], json: { coins: values.icl_strategy_coins, rows } };
  },
});
