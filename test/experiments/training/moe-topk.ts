import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inLab, type Lab } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";
import { Tables } from "../tables-of-symbols.ts";

const STEPS = 240;
const [EVERY, SWITCH] = [24, 0.6];
const MODEL = {
  model_type: "qwen3_moe",
  ...{ hidden_size: 24, intermediate_size: 8, moe_intermediate_size: 8, num_hidden_layers: 3, head_dim: 12 },
  ...{ num_attention_heads: 2, num_key_value_heads: 2, vocab_size: 64, max_position_embeddings: 32 },
  ...{ num_experts: 32, num_experts_per_tok: 1, norm_topk_prob: true, initializer_range: 0.1 },
};
const WAYS = {
  "one of 32": "",
  "4, 4, 2 at first": `--expert-start 4,4,2 --expert-switch ${SWITCH}`,
  "8 in the lowest at first": `--expert-start 8 --expert-switch ${SWITCH}`,
};
const COLUMNS = ["loss", "loss soon after the switch", "d_f of layer 0", "d_p of layer 0"] as const;
type Found = Readonly<Record<(typeof COLUMNS)[number], number>>;

interface Evaluated {
  readonly event: string;
  readonly step: number;
  readonly value: number;
}

/** Held-out losses, and how uneven the lowest layer is behind its load-balancing loss. */
async function trained(lab: Lab, line: string, held: string): Promise<Found> {
  const watched = `--eval-data ${held} --eval-every ${EVERY} --log out.log`;
  await lab.script("train", `${line} --save-every 0 ${watched} -o out.safetensors --overwrite`);
  const probe = await lab.script(
    "evaluate",
    `out.safetensors --probe lbl-gap --lbl-gap-batch 32 --data ${held} --json`,
  );
  const [lowest] = JSON.parse(probe).rows[0].layers;
  const events: Evaluated[] = readFileSync(join(lab.folder, "out.log"), "utf8")
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text));
  const course = new Map(
    events.flatMap(({ event, step, value }) => (event === "eval" ? [[step, value] as const] : [])),
  );
  const soon = EVERY * Math.ceil((STEPS * SWITCH + 1) / EVERY);
  return {
    loss: course.get(STEPS)!,
    "loss soon after the switch": course.get(soon)!,
    "d_f of layer 0": lowest.d_f,
    "d_p of layer 0": lowest.d_p,
  };
}

const rowsOf = (name: string, found: Found) =>
  Object.fromEntries(COLUMNS.map((column) => [`${name}: ${column}`, found[column]]));

const less = (a: Found, b: Found): Found => ({
  loss: a.loss - b.loss,
  "loss soon after the switch": a["loss soon after the switch"] - b["loss soon after the switch"],
  "d_f of layer 0": a["d_f of layer 0"] - b["d_f of layer 0"],
  "d_p of layer 0": a["d_p of layer 0"] - b["d_p of layer 0"],
});

const FIRST = "one of 32";
const pairs = Object.keys(WAYS).filter((name) => name !== FIRST);

const bounds: Readonly<Record<string, Bound>> = Object.fromEntries(
  pairs.flatMap((name) => [
    [`${name} − ${FIRST}: loss`, { below: 0.03 }],
    [`${name} − ${FIRST}: d_f of layer 0`, { below: -0.2 }],
  ]),
);

export const experiment = experimentOf({
  title: "More experts per token at first",
  about: `A language of 20 symbols, of which one follows from the two before it by a table, nine times of ten. A \`qwen3_moe\` of three layers of
width 24, one of 32 experts per token, ${STEPS} steps of 16 rows at a constant rate, the load-balancing loss over the step. \`--expert-start\` holds until ${SWITCH} of the
steps; held-out losses are those of one expert per token throughout. *d_f* and *d_p* are the largest distances of a load and of a mean probability from an
even part (\`lbl-gap\`). The lowest layer ends with more even loads and a less even p, and the loss is lower at the end and at most 0.03 higher a tenth
of the steps after the switch. Weights are normalised: with one expert per token the router learns from the load-balancing loss alone, with
more of them from the language, too. With 16 experts, a falling rate and a switch at 0.8 of the steps loads were less even than without, on one seed.`,
  seeds: [1, 2, 3],
  tested: 2,
  long: true,
  columns: COLUMNS,
  figures: Object.fromEntries(
    [...Object.keys(WAYS), ...pairs.map((name) => `${name} − ${FIRST}`)].flatMap((name) =>
      COLUMNS.map((column) => [`${name}: ${column}`, bounds[`${name}: ${column}`] ?? {}]),
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const tables = new Tables(7 * seed, 1, 20);
      const held = lab.rows("held", tables.rows(128, 1000 + seed));
      const data = `--data ${lab.rows("rows", tables.rows(1600, 10 * seed))} --batch-size 16`;
      const line = `${lab.fresh(MODEL)} ${data} --steps ${STEPS} --lr 5e-3 --schedule constant --moe-balance global --seed ${seed}`;
      const found: Record<string, Found> = {};
      for (const [name, way] of Object.entries(WAYS)) found[name] = await trained(lab, `${line} ${way}`, held);
      const own = Object.entries(found).map(([name, one]) => rowsOf(name, one));
      const differences = pairs.map((name) => rowsOf(`${name} − ${FIRST}`, less(found[name]!, found[FIRST]!)));
      return Object.assign({}, ...own, ...differences);
    }),
});
