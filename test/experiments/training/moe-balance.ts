import { inLab, type Lab, type Row } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";
import { Tables } from "../tables-of-symbols.ts";

const [BATCH, ROWS] = [8, 960];
const MODEL = {
  model_type: "glm4_moe",
  ...{ hidden_size: 32, intermediate_size: 32, moe_intermediate_size: 8, num_hidden_layers: 2, head_dim: 16 },
  ...{ num_attention_heads: 2, num_key_value_heads: 2, vocab_size: 64, max_position_embeddings: 32 },
  ...{ n_routed_experts: 8, num_experts_per_tok: 1, n_shared_experts: 0, first_k_dense_replace: 0 },
  ...{ initializer_range: 0.1, partial_rotary_factor: 1, norm_topk_prob: false },
};

const WAYS = {
  none: "--moe-balance none",
  "micro, 0.01": "--moe-balance micro --moe-balance-coef 0.01",
  "micro, 0.1": "--moe-balance micro --moe-balance-coef 0.1",
  "global, 0.01": "--moe-balance global --moe-balance-coef 0.01",
  "global, 0.1": "--moe-balance global --moe-balance-coef 0.1",
  "sequence, 0.01": "--moe-balance sequence --moe-balance-coef 0.01",
  "bias, 0.01": "--moe-balance bias --bias-step 0.01",
  "bias, 0.1 / sqrt n, proportional": "--moe-balance bias --bias-step 0.1/sqrt-n --bias-rule proportional",
};
const COLUMNS = ["loss", "violation", "specialisation"] as const;
type Found = Readonly<Record<(typeof COLUMNS)[number], number>>;

/** Micro-batches of one language and of the other, in turn. */
const inTurn = (one: readonly Row[], two: readonly Row[]): Row[] =>
  Array.from({ length: one.length / BATCH }, (_, i) =>
    [one, two].flatMap((rows) => rows.slice(i * BATCH, (i + 1) * BATCH)),
  ).flat();

/** Held-out loss, and the experts' loads on held-out rows of both languages. */
async function trained(lab: Lab, line: string, held: string): Promise<Found> {
  await lab.script("train", `${line} --save-every 0 -o out.safetensors --overwrite`);
  const losses = JSON.parse(await lab.script("evaluate", `out.safetensors --metric loss ${held} --json`));
  const load = JSON.parse(
    await lab.script("evaluate", `out.safetensors --probe expert-load --expert-load-batch 32 ${held} --json`),
  );
  const { violation, specialisation } = load.rows[0];
  return { loss: losses.rows.find(({ group }: { group: string }) => group === "all").value, violation, specialisation };
}

const rowsOf = (name: string, { loss, violation, specialisation }: Found) => ({
  [`${name}: loss`]: loss,
  [`${name}: violation`]: violation,
  [`${name}: specialisation`]: specialisation,
});

const less = (a: Found, b: Found): Found => ({
  loss: a.loss - b.loss,
  violation: a.violation - b.violation,
  specialisation: a.specialisation - b.specialisation,
});

const PAIRS = [
  ["bias, 0.01", "micro, 0.1"],
  ["global, 0.01", "micro, 0.01"],
  ["global, 0.1", "micro, 0.1"],
] as const;

const bounds: Readonly<Record<string, Bound>> = {
  "none: violation": { above: 0.5 },
  "bias, 0.01: violation": { below: 0.5 },
  "bias, 0.01 − micro, 0.1: loss": { below: 0.04 },
  "bias, 0.01 − micro, 0.1: specialisation": { above: 0.3 },
  "global, 0.01 − micro, 0.01: specialisation": { above: 0.03 },
};

export const experiment = experimentOf({
  title: "Experts that are evenly used, by losses and by a bias",
  about: `Two languages of 16 symbols each, of which a symbol follows from the two before it by a table, nine times of ten. A \`glm4_moe\` of two
layers of width 32, one of 8 experts per token, 360 steps of two micro-batches of 8 rows, one of each language. *Violation* is how far the
fullest expert is above an even part on held-out rows of both languages, *specialisation* how far the languages' shares of experts part (\`expert-load\`),
both as means over layers. Global counts leave experts freer than those of micro-batches with the same coefficient, and loads a little less even. A bias
leaves them free and even at once, at no more loss than \`micro\` with loads as even. Which way has the least loss is another on each seed, and on two of
three it is none at all.`,
  seeds: [1, 2, 3],
  tested: 2,
  long: true,
  columns: COLUMNS,
  figures: Object.fromEntries(
    [...Object.keys(WAYS), ...PAIRS.map(([p, q]) => `${p} − ${q}`)].flatMap((name) =>
      COLUMNS.map((column) => [`${name}: ${column}`, bounds[`${name}: ${column}`] ?? {}]),
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const languages = [0, 1].map((i) => new Tables(7 * seed + i, 1 + 20 * i, 16));
      const [one, two] = languages.map((language, i) => language.rows(ROWS, 10 * seed + i));
      const [a, b] = languages.map((language, i) => lab.rows(`held-${i}`, language.rows(96, 1000 + 10 * seed + i)));
      const order = `--data ${lab.rows("rows", inTurn(one!, two!))} --no-shuffle --batch-size ${BATCH} --accumulate 2`;
      const line = `${lab.fresh(MODEL)} ${order} --steps 360 --lr 1e-2 --seed ${seed}`;
      const found: Record<string, Found> = {};
      for (const [name, way] of Object.entries(WAYS))
        found[name] = await trained(lab, `${line} ${way}`, `--data a=${a} --data b=${b}`);
      const differences = PAIRS.map(([p, q]) => rowsOf(`${p} − ${q}`, less(found[p]!, found[q]!)));
      return Object.assign({}, ...Object.entries(found).map(([name, own]) => rowsOf(name, own)), ...differences);
    }),
});
