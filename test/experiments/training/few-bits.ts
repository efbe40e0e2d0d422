import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";

const STEPS = 150;
const SMALL = 2e-5;
/** Numbers of weights, activations and gradients alike, but for fp8, whose gradients are e5m2. */
const PRECISIONS = ["f32", "bf16", "fp8", "int4", "nvfp4", "mxfp4"];
const BITS = [4, 2];

const figures = {
  ...Object.fromEntries(PRECISIONS.map((name) => [`loss above the least, trained in ${name}`, {} as Bound])),
  ...Object.fromEntries(
    BITS.flatMap((bits) => [
      [`loss above f32's, ${bits} bits, steps as they begin`, {} as Bound],
      [`loss above f32's, ${bits} bits, trained with steps that are learnt`, {} as Bound],
    ]),
  ),
  "gain at a small rate, f32": { above: 0 },
  "share of that gain, weights in bf16, updates right on average": { above: 0.7 },
  "share of that gain, weights in bf16, updates to nearest": { below: 0.5 },
  "loss above the least, trained in fp8": { below: 0.4 },
  "loss above f32's, 2 bits, trained with steps that are learnt": { below: 0.5 },
} satisfies Record<string, Bound>;

export const experiment = experimentOf({
  title: "Training in numbers of few bits",
  about: `A language of 24 symbols whose best possible loss is known, a decoder of two layers of width 32, ${STEPS} steps of 16 rows of 16 symbols by AdamW at 5e-3 with a
cosine after 10 steps of warm-up. \`--precision\` rounds weights, activations and gradients of linear layers; losses are of 200 held-out rows, in the same numbers.
Steps as they begin: the f32 model put on the steps with which learned step sizes begin, without training; learnt: ${STEPS} more steps at 2e-3 (\`weights=int2-qat\`), beside as many in f32. Gain: from the
f32 model, ${STEPS} steps at ${SMALL}, far below half a unit of bf16 for most weights; the survey (2025) expects rounding to nearest to stall there, and rounding that is right on average not to.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures,
  run: (seed) =>
    inLab(async (lab) => {
      const language = new Language({ seed, size: 24, sharpness: 5 });
      const held = language.rows(200, 1000 + seed);
      const least = language.least(held);
      const [data, test] = [lab.rows("rows", language.rows(2400, seed)), lab.rows("held", held)];
      const net = lab.fresh(decoder({ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, vocab_size: 24 }));
      const train = async (line: string): Promise<number> => {
        const common = `--data ${data} --eval-data ${test} --batch-size 16 --weight-decay 0 --seed ${seed}`;
        const text = await lab.script("train", `${line} ${common} --save-every 0 --overwrite --json`);
        const { held_out_loss: loss }: { held_out_loss: number } = JSON.parse(text);
        return loss;
      };
      const found: Record<string, number> = {};
      const course = `--steps ${STEPS} --lr 5e-3 --warmup 10`;
      for (const name of PRECISIONS) {
        const out = name === "f32" ? "base/" : "out/";
        const loss = await train(`${net} ${course} --precision ${name} -o ${out}`);
        found[`loss above the least, trained in ${name}`] = loss - least;
      }
      const base = found["loss above the least, trained in f32"]! + least;
      const longer = await train(`base/ --steps ${STEPS} --lr 2e-3 -o out/`);
      for (const bits of BITS) {
        const precision = `--precision weights=int${bits}-qat`;
        const before = await train(`base/ --steps 1 --lr 1e-30 ${precision} -o out/`);
        const after = await train(`base/ --steps ${STEPS} --lr 2e-3 ${precision} -o out/`);
        found[`loss above f32's, ${bits} bits, steps as they begin`] = before - base;
        found[`loss above f32's, ${bits} bits, trained with steps that are learnt`] = after - longer;
      }
      const small = `base/ --steps ${STEPS} --lr ${SMALL} --schedule constant -o out/`;
      const gain = base - (await train(small));
      found["gain at a small rate, f32"] = gain;
      for (const [name, rounding] of [
        ["updates right on average", "stochastic"],
        ["updates to nearest", "nearest"],
      ] as const) {
        const loss = await train(`${small} --dtype bf16 --weight-rounding ${rounding}`);
        found[`share of that gain, weights in bf16, ${name}`] = (base - loss) / gain;
      }
      return found;
    }),
});
