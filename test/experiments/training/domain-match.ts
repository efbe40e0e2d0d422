import { inLab } from "../curriculum-lab.ts";
import type { Experiment } from "../experiment.ts";
import { normal } from "../support.ts";

const [CLASSES, PLANES, ROWS] = [4, 5, 400];
/** Degrees by which the planes of each client's rows are turned, and those of the domain that has no labels. */
const [CLIENTS, TARGET] = [[0, 30, 60], 90];

/** Clouds around centres that all domains share, turned by an angle in every plane. */
function turned(seed: number, part: number, degrees: number) {
  const centre = normal(1000 * seed);
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: 2 * PLANES }, () => 1.2 * centre()));
  const draw = normal(91_000 * seed + part);
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  return Array.from({ length: ROWS }, (_, i) => {
    const label = i % CLASSES;
    const point = centres[label]!.map((c) => c + 0.7 * draw());
    const x = Array.from({ length: PLANES }, (_, plane) => {
      const [a, b] = [point[2 * plane]!, point[2 * plane + 1]!];
      return [a * cos - b * sin, a * sin + b * cos].map((value) => Number(value.toFixed(4)));
    }).flat();
    return { x, label };
  });
}

const COLUMNS = ["clients", "merged", "effect", "vote", "vote − merged"] as const;
const WAYS = { plain: "", mmd: "--match-by mmd", dann: "--match-by dann", both: "--match-by both" } as const;

export const experiment: Experiment = {
  title: "Clients of turned domains, and one that none has labels of",
  about: `${CLASSES} clouds in ${2 * PLANES} dimensions, ${ROWS} rows a domain; every plane is turned by ${CLIENTS.join(", ")} degrees for three clients, and by ${TARGET} for a
domain without labels. From one beginning each client trains a perceptron of two layers of 32 for 20 epochs, alone (*plain*) or with
\`--match-domain\` on the unlabelled rows. Accuracy on new rows of that domain: the mean of the clients, their \`merge --method linear\` (the difference
is \`--probe group-effect\`), and that merge after 10 epochs on the unlabelled rows as the clients vote (\`distill label\`).`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  columns: COLUMNS,
  figures: Object.fromEntries(
    Object.keys(WAYS).flatMap((way) =>
      COLUMNS.map((name) => [`${way}: ${name}`, name === "vote − merged" ? { above: 0.01 } : {}]),
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const net = { model_type: "mlp", input_size: 2 * PLANES, hidden_sizes: [32, 32], num_labels: CLASSES };
      const rows = CLIENTS.map((degrees, i) => lab.rows(`client-${i}`, turned(seed, i, degrees)));
      const open = lab.rows("open", turned(seed, 10, TARGET));
      const held = lab.rows("held", turned(seed, 11, TARGET));
      await run("train", `${lab.fresh(net)} --data ${rows[0]} --steps 1 --lr 1e-6 --seed ${seed} -o begin/`);
      const fit = `--batch-size 32 --lr 3e-3 --seed ${seed} --save-every 0 --overwrite`;
      const figures: Record<string, number> = {};
      for (const [way, by] of Object.entries(WAYS)) {
        const match = by && `--match-domain ${open} ${by}`;
        for (const [i, data] of rows.entries())
          await run("train", `begin/ --data ${data} --epochs 20 ${match} ${fit} -o client-${i}/`);
        const clients = rows.map((_, i) => `client-${i}/`).join(" ");
        await run("merge", `${clients} --method linear --overwrite -o merged/`);
        const probe = await run(
          "evaluate",
          `merged/ ${clients} --data ${held} --metric accuracy --probe group-effect --json`,
        );
        const [effect] = (JSON.parse(probe) as { rows: { value: number; clients: number; effect: number }[] }).rows;
        await run("distill", `label ${clients} --data ${open} -o voted-${way}.jsonl`);
        await run("train", `merged/ --data voted-${way}.jsonl --epochs 10 ${fit} -o tuned/`);
        const text = await run("evaluate", `tuned/ --data ${held} --metric accuracy --json`);
        const after = (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
        figures[`${way}: clients`] = effect!.clients;
        figures[`${way}: merged`] = effect!.value;
        figures[`${way}: effect`] = effect!.effect;
        figures[`${way}: vote`] = after;
        figures[`${way}: vote − merged`] = after - effect!.value;
      }
      return figures;
    }),
};
