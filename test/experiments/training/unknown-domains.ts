import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { normal } from "../support.ts";

const [CLASSES, WIDTH, ROWS] = [3, 10, 400];

/** Clouds of a domain: centres of the classes that all domains share, and a place of the domain's own. */
function domainOf(seed: number, part: number, place: number) {
  const centre = normal(1000 * seed);
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: WIDTH }, () => 1.3 * centre()));
  const places = Array.from({ length: 3 }, () => Array.from({ length: WIDTH }, () => 0.9 * centre()));
  const draw = normal(77_000 * seed + part);
  return Array.from({ length: ROWS }, (_, i) => {
    const label = i % CLASSES;
    return { x: centres[label]!.map((c, d) => Number((c + places[place]![d]! + draw()).toFixed(4))), label };
  });
}

const BITS = [64, 512, 10_000];

export const experiment = experimentOf({
  title: "Domains that a classifier does not know, by hyperdimensional codes",
  about: `Three domains of ${CLASSES} clouds each in ${WIDTH} dimensions, ${ROWS} rows, of which a perceptron of 32 and 16 units learns two. \`evaluate --probe hdc\`: areas under the
curves of known and new rows by codes of so many signs, and by the largest probability; the share of known rows whose nearest prototype is of their domain. \`adapt stream --method ear\`,
which knows the first two domains, meets all three one after the other in batches of 32: errors by domain, and the share of all batches that an adapter answers.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "AUC, 64 signs": {},
    "AUC, 512 signs": {},
    "AUC, 10000 signs": {},
    "AUC, max-softmax": {},
    "10000 signs − max-softmax": { above: 0.1 },
    "known rows routed, 10000 signs": {},
    "ear, error in domain 1": {},
    "ear, error in domain 2": {},
    "ear, error in domain 3": {},
    "source, error in domain 3": {},
    adapters: { above: 0 },
    "share of batches with an adapter": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const known = [0, 1].map((place) => lab.rows(`known-${place}`, domainOf(seed, place, place)));
      const other = [0, 1, 2].map((place) => lab.rows(`other-${place}`, domainOf(seed, 10 + place, place)));
      const net = { model_type: "mlp", input_size: WIDTH, hidden_sizes: [32, 16], num_labels: CLASSES };
      const data = known.map((file) => `--data ${file}`).join(" ");
      await run(
        "train",
        `${lab.fresh(net)} ${data} --epochs 15 --batch-size 32 --lr 5e-3 --seed ${seed} --save-every 0 -o net/`,
      );
      const probed = async (bits: number) => {
        const rows = other.map((file, place) => `--data ${place}=${file}`).join(" ");
        const text = await run("evaluate", `net/ ${rows} --probe hdc --hdc-bits ${bits} --seed ${seed} --json`);
        return (JSON.parse(text) as { rows: [{ hdc_auc: number; softmax_auc: number; routed: number }] }).rows[0];
      };
      const [few, some, many] = [await probed(BITS[0]!), await probed(BITS[1]!), await probed(BITS[2]!)];
      const stream = async (method: string) => {
        const rows = other.map((file) => `--data ${file}`).join(" ");
        const text = await run(
          "adapt",
          `stream net/ ${rows} --batch-size 32 --method ${method} --seed ${seed} --overwrite -o out/ --json`,
        );
        return JSON.parse(text) as {
          domains: { error: number }[];
          adapters: unknown[];
          routes: Readonly<Record<string, number>>;
        };
      };
      const source = known.map((file) => `--source ${file}`).join(" ");
      const [ear, plain] = [await stream(`ear ${source} --ear-bits 2048`), await stream("source")];
      const batches = Object.values(ear.routes).reduce((a, b) => a + b, 0);
      return {
        "AUC, 64 signs": few.hdc_auc,
        "AUC, 512 signs": some.hdc_auc,
        "AUC, 10000 signs": many.hdc_auc,
        "AUC, max-softmax": many.softmax_auc,
        "10000 signs − max-softmax": many.hdc_auc - many.softmax_auc,
        "known rows routed, 10000 signs": many.routed,
        "ear, error in domain 1": ear.domains[0]!.error,
        "ear, error in domain 2": ear.domains[1]!.error,
        "ear, error in domain 3": ear.domains[2]!.error,
        "source, error in domain 3": plain.domains[2]!.error,
        adapters: ear.adapters.length,
        "share of batches with an adapter": 1 - (ear.routes.source ?? 0) / batches,
      };
    }),
});
