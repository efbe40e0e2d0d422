import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`length`: short rows first, asked for long ones",
  about: `150 rows each of 8, 16, 32 and 64 symbols of one language; held-out rows have 64. A decoder of one layer, 100 steps of 16 rows
of all lengths, against short ones first for as many steps and for about as many tokens. Held-out loss in nats.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "all lengths": {},
    "short first, as many steps − all lengths": {},
    "short first, as many steps: tokens ÷ those of all lengths": { below: 0.6 },
    "short first, 195 steps − all lengths": { below: 0.005 },
    "short first, 195 steps: tokens ÷ those of all lengths": { below: 1 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const language = new Language({ seed: other + 11, size: 24, sharpness: 12 });
      const rows = [8, 16, 32, 64].flatMap((length, i) => language.rows(150, other + 100 + i, { length }));
      const config = lab.fresh(decoder({ vocab_size: 24, max_position_embeddings: 64 }), "long");
      const data = lab.groups({ all: rows }, { all: language.rows(24, other + 109, { length: 64 }) });
      const line = `${config} ${data} --batch-size 16 --lr 0.01 --warmup 10 --seed ${seed} --method length`;
      const after = (options: string) => lab.run(`${line} ${options}`);
      const ordinary = await after("--steps 100 --start-length 64 --pass 1");
      const short = await after("--steps 100 --start-length 8 --over 0.8");
      const longer = await after("--steps 195 --start-length 8 --over 0.8");
      return {
        "all lengths": ordinary.losses.all!,
        "short first, as many steps − all lengths": short.losses.all! - ordinary.losses.all!,
        "short first, as many steps: tokens ÷ those of all lengths": short.tokens / ordinary.tokens,
        "short first, 195 steps − all lengths": longer.losses.all! - ordinary.losses.all!,
        "short first, 195 steps: tokens ÷ those of all lengths": longer.tokens / ordinary.tokens,
      };
    }),
});
