import { DENOISERS, denoise, denoisedLabels, type Mode } from "../../../src/data/denoising.ts";
import { Random } from "../../../src/data/random.ts";
import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const [SYMBOLS, LENGTH, FROM, SENTINELS, HELD] = [8, 24, 8, 20, 200];
const MODES = { R: FROM + SENTINELS, S: FROM + SENTINELS + 1, X: FROM + SENTINELS + 2 };
const SETTING = `--sentinels-from ${FROM} --sentinels ${SENTINELS}`;

/** What each model is trained by. */
const TRAINED = {
  "next token": "",
  "R alone": "--denoisers R",
  "S alone": "--denoisers S",
  "R, S and X": "--denoisers R,S,X",
} as const;

const DIFFERENCES = [
  "in-filling: next token − R, S and X",
  "in-filling: R, S and X − R alone",
  "continuation: R, S and X − S alone",
  "continuation: R alone − S alone",
];

/** Held-out texts with a task of this mode, whose own tokens count: neither sentinels nor the end. */
function asked(texts: readonly (readonly number[])[], mode: Mode, { seed, told }: { seed: number; told: boolean }) {
  const sentinels = Array.from({ length: SENTINELS }, (_, k) => FROM + k);
  return texts.map((text, i) => {
    const random = new Random("asked", seed, mode, i);
    const denoiser = random.pick(DENOISERS[mode]);
    const tokens = { sentinels, ...(told ? { modes: MODES } : {}) };
    const made = denoise(Int32Array.from(text), mode, denoiser, tokens, random);
    const labels = denoisedLabels(made).map((label) => (label < SYMBOLS ? label : -100));
    return { input_ids: [...made.ids], labels: [...labels] };
  });
}

export const experiment = experimentOf({
  title: "Denoisers of texts: `train --denoisers`",
  about: `Texts of ${LENGTH} symbols out of ${SYMBOLS}, each following the one before by a random table. A decoder of two layers of 32, AdamW at 6e-3, 1200 steps
of 16 texts. *In-filling* is the loss of the symbols that R leaves out, each of which has neighbours on both sides, *continuation* that of the last quarter of
a text; the model that learned the next token alone is asked to go on without a mode token. It cannot fill in, and the mixture does both nearly as well as
those that learned one of them. Against the paper's picture, R alone goes on with a text almost as well as S: in this language what follows is a matter of one symbol,
which gaps are filled from, too.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "in-filling: next token − R, S and X": { above: 0.1 },
    "in-filling: R, S and X − R alone": { below: 0.12 },
    "continuation: R, S and X − S alone": { below: 0.03 },
    "continuation: R alone − S alone": {},
    "in-filling, next token": {},
    "in-filling, R alone": {},
    "in-filling, S alone": {},
    "in-filling, R, S and X": {},
    "continuation, next token": {},
    "continuation, R alone": {},
    "continuation, S alone": {},
    "continuation, R, S and X": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const run = (script: string, line: string) => lab.script(script, `${line} --seed ${seed}`);
      const language = new Language({ seed: 100 * seed, size: SYMBOLS, sharpness: 6 });
      const textsOf = (count: number, from: number) =>
        language.rows(count, from, { length: LENGTH }).map(({ input_ids }) => input_ids);
      const data = lab.rows(
        "texts",
        textsOf(3000, seed).map((input_ids) => ({ input_ids })),
      );
      const held = textsOf(HELD, 7000 + seed);
      const shape = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4 };
      const net = { ...decoder(), ...shape, num_key_value_heads: 4, max_position_embeddings: 64 };
      const figures: Record<string, number> = {};
      for (const [name, options] of Object.entries(TRAINED)) {
        const setting = options === "" ? "" : `${options} ${SETTING}`;
        const line = `${lab.fresh(net)} --data ${data} --steps 1200 --batch-size 16 --lr 6e-3 --warmup 50 --clip 1 ${setting}`;
        await run("train", `${line} --save-every 0 --overwrite -q -o out/`);
        const gaps = lab.rows("gaps", asked(held, "R", { seed, told: true }));
        const ends = lab.rows("ends", asked(held, "S", { seed, told: options !== "" }));
        const text = await run("evaluate", `out/ --data gaps=${gaps} --data ends=${ends} --metric loss --json`);
        const { rows } = JSON.parse(text) as { rows: { group: string; value: number }[] };
        const of = (group: string) => rows.find((one) => one.group === group)!.value;
        figures[`in-filling, ${name}`] = of("gaps");
        figures[`continuation, ${name}`] = of("ends");
      }
      for (const name of DIFFERENCES) {
        const [, what, a, b] = /^(.*): (.*) − (.*)$/.exec(name)!;
        figures[name] = figures[`${what}, ${a}`]! - figures[`${what}, ${b}`]!;
      }
      return figures;
    }),
});
