/**
 * Which way the temperature of a training should go before its result is pruned: a model is pruned and trained again
 * twice, and the landscape between the two says.
 *
 * Zhou et al., A Three-regime Model of Network Pruning, ICML 2023, https://arxiv.org/abs/2305.18383
 *
 *   I     a barrier lies on the line between the two: raise the temperature (higher rate, fewer epochs)
 *   II-A  no barrier, features unlike: keep it
 *   II-B  no barrier, features alike: lower it (train longer, larger batches)
 *
 * Give the models of a grid in the order of their temperature. The lower the density, the higher the temperature at
 * which the regimes meet, and there the pruned models are best. `src/run/probing` has the measures.
 */
import { readBatches } from "../../../run/batches-in-order.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { linearCka } from "../../../run/probing/cka.ts";
import { putWeights, readWeights, type Weights } from "../../../run/probing/host-weights.ts";
import { connectivityOf } from "../../../run/probing/linear-connectivity.ts";
import { drawRows, finetune, type Material } from "../../../run/training/short-training.ts";
import { refuseMeasures } from "../../look-at.ts";
import { FeatureView } from "../../prune-regime/features.ts";
import { ADVICE, regimeOf } from "../../prune-regime/regimes.ts";
import { putBetween, Twins } from "../../prune-regime/twins.ts";
import { defineTechnique, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  prune_regime_densities: {
    type: "(0 < number <= 1)[]",
    default: [0.05, 0.2, 0.5],
    help: "shares of the weights of each layer that stay",
    value: "D",
  },
  prune_regime_rows: { type: "number.integer >= 1", default: 1024, help: "most rows to train on again", value: "N" },
  prune_regime_epochs: { type: "number.integer >= 1", default: 2, help: "passes over them", value: "N" },
  prune_regime_lr: { type: "number > 0", default: 1e-3, help: "rate of AdamW, constant", value: "RATE" },
  prune_regime_batch: { type: "number.integer >= 1", default: 16, help: "rows of a step", value: "N" },
  prune_regime_points: {
    type: "number.integer >= 3",
    default: 11,
    help: "points on the line between the two, both ends among them",
    value: "N",
  },
  prune_regime_group: {
    type: "string",
    help: "group that is trained on, the others measure; the first, which measures too, when left out",
    value: "NAME",
  },
  prune_regime_barrier: {
    type: "number >= 0",
    default: 0.02,
    help: "a rise of the loss on the line that is a barrier, as a share of the loss at its ends",
  },
  prune_regime_similar: {
    type: "0 <= number <= 1",
    default: 0.9,
    help: "alignment of features from which on they are alike",
  },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

const parts = ({ groups, values }: Pick<Setup, "groups" | "values">) => {
  const trained = groups.find(({ name }) => name === values.prune_regime_group) ?? groups[0]!;
  const others = groups.filter((group) => group !== trained);
  const isNamed = values.prune_regime_group !== undefined;
  return { trained, measured: isNamed && others.length > 0 ? others : groups };
};

/** Mean loss of a token or an example. */
async function lossOf(loaded: LoadedModel, setup: Setup): Promise<number> {
  let [sum, count] = [0, 0];
  for (const { nll } of await loaded.score(parts(setup).measured)) {
    for (const loss of nll) sum += loss;
    count += nll.length;
  }
  return sum / count;
}

/** What the landscape between two trainings of one pruned model is like. */
async function landscapeOf(loaded: LoadedModel, twins: Twins, density: number, setup: Setup, material: Material) {
  const { values, seed, signal, loader } = setup;
  const { batches } = await readBatches(parts(setup).measured, loaded, values.prune_regime_batch);
  const view = new FeatureView(loaded.model);
  const ends: Weights[] = [];
  const features = [];
  try {
    for (const twin of [0, 1]) {
      await twins.prune(density);
      await finetune(loaded, material, {
        rows: values.prune_regime_rows,
        epochs: values.prune_regime_epochs,
        lr: values.prune_regime_lr,
        batchSize: values.prune_regime_batch,
        seed: 2 * seed + twin,
        signal,
        rateFlag: "--prune-regime-lr",
        after: async () => {
          await twins.hold();
          return false;
        },
        done: (n) => loader.tick(loaded.ref, n),
      });
      ends.push(await readWeights(loaded.model));
      features.push(await view.read(batches));
    }
  } finally {
    view.free();
  }
  const [first, second] = ends;
  const losses: number[] = [];
  const points = values.prune_regime_points;
  for (let i = 0; i < points; i++) {
    // The ends are the weights themselves.
    if (i === 0) putWeights(loaded.model, first!);
    else if (i === points - 1) putWeights(loaded.model, second!);
    else putBetween(loaded.model, first!, second!, i / (points - 1));
    losses.push(await lossOf(loaded, setup));
  }
  const loss = (losses[0]! + losses.at(-1)!) / 2;
  return { ...connectivityOf(losses), cka: linearCka(features[0]!, features[1]!), loss, losses };
}

type Landscape = Awaited<ReturnType<typeof landscapeOf>>;

interface Row extends Landscape {
  readonly model: string;
  readonly density: number;
  /** Loss before it was pruned. */
  readonly dense: number;
  readonly regime: string;
  readonly advice: string;
}

export const method = defineTechnique({
  name: "prune-regime",
  title: "Regimes of pruning",
  about: "prunes each model, trains it again twice, and says from what lies between which way to train",
  cite: "arXiv:2305.18383",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },

  check(info) {
    refuseMeasures("prune-regime", info);
    const { prune_regime_group: name } = info.values;
    if (name !== undefined)
      requireGroup(name, info.groups, { asker: "--probe prune-regime", flag: "--prune-regime-group" });
  },

  async run(setup) {
    const { values, candidates, seed, loader, signal } = setup;
    const densities = [...new Set(values.prune_regime_densities)].sort((a, b) => a - b);
    const bounds = { barrier: values.prune_regime_barrier, similar: values.prune_regime_similar };
    let learned = 0;
    loader.announce((readings) => {
      const each = values.prune_regime_points * readings + 2 * values.prune_regime_epochs * learned;
      return candidates.length * (readings + densities.length * each);
    });
    const rows: Row[] = [];
    for (const checkpoint of candidates) {
      signal.throwIfAborted();
      const loaded = await loader.load(checkpoint, { trained: true });
      try {
        const material = await drawRows(loaded, parts(setup).trained, seed);
        learned = Math.min(values.prune_regime_rows, material.rows.length);
        using twins = await Twins.of(loaded.model, checkpoint.ref);
        const dense = await lossOf(loaded, setup);
        for (const density of densities) {
          const found = await landscapeOf(loaded, twins, density, setup, material);
          const regime = regimeOf(found, bounds);
          rows.push({ model: checkpoint.ref, density, dense, ...found, regime, advice: ADVICE[regime] });
        }
      } finally {
        await loaded.free();
      }
    }
    const best = densities.map((density) => {
      const own = rows.filter((row) => row.density === density);
      return { density, model: own.reduce((a, b) => (b.loss < a.loss ? b : a)).model };
    });
    const header = ["model", "density", "dense", "pruned", "LMC", "at", "CKA", "regime", "advice"];
    const lines = rows.map((row) => [
      ...[row.model, row.density, row.dense, row.loss, row.lmc, row.at, row.cka],
      ...[row.regime, row.advice],
    ]);
    const chosen = best.map(({ density, model }) => [model, density, ...Array(6).fill(undefined), "least loss pruned"]);
    return { table: [header, ...lines, ...(candidates.length > 1 ? chosen : [])], json: { best, rows } };
  },
});
