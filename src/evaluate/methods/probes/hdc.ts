/**
 * Which rows a classifier knows, by hyperdimensional codes of its layers: a row whose code is like no prototype of a
 * (group, class) is of another domain. The score of a row is its largest cosine to a prototype, which the largest
 * probability of the model is compared with.
 *
 * EAR, "Efficient Model Adaptation for Continual Learning at the Edge", 2023. A share of the known rows, drawn by the
 * seed, makes the prototypes; the others and the new ones are scored.
 */
import { loadExamples } from "../../../data/examples.ts";
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { CodeBook, Hypercoder, layerMeans, percentile } from "../../../run/hypervectors.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import { type PooledRow, pooledFeatures } from "../../../run/scoring/pooled-features.ts";
import { areaUnderCurve } from "../../measures/membership.ts";
import { defineTechnique } from "../../technique.ts";

/** Share of known rows that lie below the threshold of what is known. */
const LOWEST = 0.05;

const softmaxTop = (logits: Float32Array): number => {
  const most = logits.reduce((a, b) => Math.max(a, b));
  return 1 / logits.reduce((sum, x) => sum + Math.exp(x - most), 0);
};
const shareOf = (list: readonly boolean[]): number => list.filter(Boolean).length / list.length;

interface ScoredRow {
  /** The group of the nearest prototype, and its cosine. */
  readonly nearest: string;
  readonly score: number;
  readonly sure: number;
}

export const method = defineTechnique({
  name: "hdc",
  title: "Hyperdimensional codes",
  about: "of a classifier: which rows it knows, by long codes of its layers, beside its largest probability",
  cite: "Efficient Model Adaptation for Continual Learning at the Edge, 2023",
  metrics: [],
  task: "classifier",
  options: {
    hdc_new: {
      type: "string",
      help: "group of rows that are not of the known domains; all others are; the last one when left out",
      value: "NAME",
    },
    hdc_bits: { type: "number.integer >= 1", default: 10_000, help: "signs of a code", value: "Q" },
    hdc_share: {
      type: "0 < number < 1",
      default: 0.5,
      help: "share of the known rows that make the prototypes",
      value: "F",
    },
  },
  laws: { reproducible: true, companions: true },

  check({ values, metrics, gold, groups }) {
    if (metrics.length > 0)
      throw new UserError("--metric has no effect with --probe hdc, which measures by itself", "leave it out");
    if (gold) throw new UserError("--gold has no effect with --probe hdc", "give the model as one more argument");
    if (groups.length < 2)
      throw new UserError(
        "--probe hdc compares known rows with others, and there is one group",
        "give rows of another domain: --data new=rows.jsonl",
      );
    if (values.hdc_new !== undefined) requireGroup(values.hdc_new, groups, { asker: "--probe hdc", flag: "--hdc-new" });
  },

  async run({ values, groups, candidates, quantize, seed, loader, signal }) {
    const { hdc_new: named = groups.at(-1)!.name, hdc_bits: bits, hdc_share: share } = values;
    const found = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const { model, ref } = loaded;
      if (loaded.tools || model.task !== "classifier")
        throw new UserError(`--probe hdc needs a classifier, and ${ref} is none`);
      const examples = await loadExamples(groups, loaded.examples);
      if (i === 0) loader.begin(candidates.length * examples.length, "rows");
      const pooled = await pooledFeatures(model, examples, { signal, done: (count) => loader.tick(ref, count) });
      await loaded.free();
      const rows = examples.map(({ group = 0, label, place }, at) => ({
        ...{ group: groups[group]!.name, label, layers: pooled[at]!.layers, logits: pooled[at]!.logits },
        fits: groups[group]!.name !== named && new Random(seed, "hdc", place).uniform() < share,
      }));
      const fitting = rows.filter(({ fits }) => fits);
      const [known, fresh] = [
        rows.filter((row) => !row.fits && row.group !== named),
        rows.filter((row) => row.group === named),
      ];
      if (fitting.length === 0 || known.length === 0 || fresh.length === 0)
        throw new UserError(
          `--probe hdc has ${fitting.length} rows for prototypes, ${known.length} known and ${fresh.length} new ones`,
          "give more rows, or another --hdc-share",
        );
      const coder = new Hypercoder(layerMeans(fitting.map(({ layers }) => layers)), { bits, seed });
      const book = new CodeBook();
      // Groups' names hold no separator of this kind.
      for (const { group, label, layers } of fitting) book.add(`${group}\0${label}`, coder.code(layers));
      const scored = ({ layers, logits }: PooledRow): ScoredRow => {
        const { name, score } = book.nearest(coder.code(layers));
        return { nearest: name.split("\0")[0]!, score, sure: softmaxTop(logits) };
      };
      const [own, other] = [known.map(scored), fresh.map(scored)];
      const threshold = percentile(
        own.map(({ score }) => score),
        LOWEST,
      );
      found.push({
        ...{ model: ref, new: named, known_rows: own.length, new_rows: other.length, prototypes: book.names.length },
        hdc_auc: areaUnderCurve(
          other.map(({ score }) => score),
          own.map(({ score }) => score),
        ),
        softmax_auc: areaUnderCurve(
          other.map(({ sure }) => sure),
          own.map(({ sure }) => sure),
        ),
        threshold,
        found: shareOf(other.map(({ score }) => score < threshold)),
        routed: shareOf(own.map(({ nearest }, at) => nearest === known[at]!.group)),
      });
    }
    const header = ["model", "new", "AUC of codes", "AUC of max-softmax", "new rows found", "known rows routed"];
    const cells = found.map((row) => [row.model, row.new, row.hdc_auc, row.softmax_auc, row.found, row.routed]);
    return { table: [header, ...cells], json: { rows: found } };
  },
});
