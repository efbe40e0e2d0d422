/**
 * How far what a denoiser draws is from rows: the energy distance of as many samples, each of the class of its row
 * (run/denoising/energy-distance.ts), over all rows and in the mean over classes. Szekely and Rizzo 2013,
 * https://doi.org/10.1016/j.jspi.2013.03.018
 */
import { loadExamples } from "../../../data/examples.ts";
import { UserError } from "../../../errors.ts";
import { energyDistance } from "../../../run/denoising/energy-distance.ts";
import { VectorSampler } from "../../../run/denoising/sampler.ts";
import { defineTechnique } from "../../technique.ts";

/** Rows that are drawn at once. */
const BATCH = 256;

const matrix = (values: Float32Array, rows: number): Float32Array[] =>
  Array.from({ length: rows }, (_, i) => values.subarray((i * values.length) / rows, ((i + 1) * values.length) / rows));

/** Energy distance of rows of each class, in the mean; of rows without any, undefined. */
function meanByClass(labels: Int32Array, none: number, drawn: readonly Float32Array[], rows: readonly Float32Array[]) {
  const classes = [...new Set(labels)].filter((label) => label !== none);
  const own = (label: number, of: readonly Float32Array[]) => of.filter((_, i) => labels[i] === label);
  const found = classes.map((label) => energyDistance(own(label, drawn), own(label, rows))).filter(Number.isFinite);
  return found.length === 0 ? undefined : found.reduce((sum, value) => sum + value, 0) / found.length;
}

export const method = defineTechnique({
  name: "energy-distance",
  title: "Energy distance",
  about: "of a denoiser: how far what it draws is from rows",
  cite: "doi:10.1016/j.jspi.2013.03.018",
  metrics: [],
  task: "denoiser",
  options: {
    energy_distance_steps: { type: "1 <= number.integer <= 1000", default: 18, help: "levels of a draw", value: "N" },
    energy_distance_sampler: { type: "'heun' | 'euler' | 'consistency'", default: "heun", help: "how they follow" },
    energy_distance_rows: {
      type: "number.integer >= 2",
      default: 1000,
      help: "most rows of a group that are compared, the first ones",
      value: "N",
    },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics, gold }) {
    if (metrics.length > 0)
      throw new UserError(
        "--metric has no effect with --probe energy-distance, which measures by itself",
        "leave it out",
      );
    if (gold) throw new UserError("--gold has no effect with --probe energy-distance", "give it as one more argument");
  },

  async run({ values, groups, candidates, quantize, seed, loader, signal }) {
    const { energy_distance_steps: steps, energy_distance_sampler: sampler, energy_distance_rows: most } = values;
    const rows = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const { model, ref } = loaded;
      if (model.task !== "denoiser")
        throw new UserError(`--probe energy-distance draws from a denoiser, and ${ref} is none`);
      const examples = await loadExamples(groups, { ...loaded.examples, takesNoise: true });
      const drawing = VectorSampler.of(model, { sampler, steps, seed });
      const byGroup = groups.map((_, group) => examples.filter((one) => one.group === group).slice(0, most));
      if (i === 0) loader.begin(candidates.length * byGroup.reduce((sum, own) => sum + own.length, 0), "rows");
      for (const [group, { name }] of groups.entries()) {
        const own = byGroup[group] ?? [];
        const none = model.sizes.outputs;
        const labels = Int32Array.from(own, ({ label }) => (label < 0 ? none : label));
        const drawn: Float32Array[] = [];
        for (let first = 0; first < own.length; first += BATCH) {
          signal.throwIfAborted();
          const part = labels.subarray(first, first + BATCH);
          drawn.push(...matrix(await drawing.draw({ first, labels: part }), part.length));
          loader.tick(ref, part.length);
        }
        const real = own.flatMap((example) => ("x" in example ? [example.x] : []));
        const distance = energyDistance(drawn, real);
        rows.push({
          ...{ model: ref, group: name, rows: own.length, energy_distance: distance },
          by_class: meanByClass(labels, none, drawn, real),
        });
      }
      drawing.free();
      await loaded.free();
    }
    const header = ["model", "group", "rows", "energy distance", "mean over classes"];
    const cells = rows.map((row) => [row.model, row.group, row.rows, row.energy_distance, row.by_class]);
    return { table: [header, ...cells], json: { rows } };
  },
});
