/** What re-warming does to old and new rows, and whether warm-up and the optimizer's states matter. */
import { inLab, type Lab, mean } from "../curriculum-lab.ts";
import { SHARED, sharing } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

type Loss = "old_after" | "new_after" | "old_rise" | "new_rise";

interface Found extends Readonly<Record<Loss, number>> {
  readonly run: string;
  readonly peak: number;
  readonly state: "fresh" | "kept";
}

/** The probe's rows of a model that learnt the language old. */
async function probed(lab: Lab, data: string, line: string) {
  const rows = data.split(" ").filter((word) => word.includes("-train.jsonl"));
  const groups = rows.filter((row) => row.startsWith("old=") || line.includes("new new")).map((row) => `--data ${row}`);
  const settings = "--rewarm-lr 0.01 --rewarm-batch 16 --rewarm-steps 100 --rewarm-every 5 --rewarm-held 0.1";
  const text = await lab.script("evaluate", `base ${groups.join(" ")} --probe rewarm ${settings} ${line} --json`);
  const { rows: found, spreads } = JSON.parse(text) as {
    rows: Found[];
    spreads: { warmups: number; peaks: number }[];
  };
  const of = (run: string, peak: number, state = "fresh") => {
    const own = found.filter((row) => row.run === run && Math.abs(row.peak - peak) < 1e-9 && row.state === state);
    return (key: Loss) => mean(own.map((row) => row[key]));
  };
  return { of, spread: spreads[0]! };
}

export const experiment = experimentOf({
  title: "Re-warming a model whose rate has come to its end",
  about: `Two languages over the same 16 symbols, told apart by the first token, 800 rows each. A decoder of one layer learns the old one in
200 steps of 16 rows, a cosine from 0.01 to a tenth; then 100 steps of the new one, or of the old one again, by \`evaluate --probe rewarm\`.
Peaks of 0.5, 1 and 2 times 0.01, warm-ups over 0, 0.02 and 0.1 of the steps. *Low* stays at a tenth of the peak. Held-out losses in nats;
a rise is the most that a loss is above that at the start. *Kept* takes the optimizer's states of the first training over. Against the card a fresh model comes to
the same loss of the new language, which shares nothing with the old one but its symbols.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "old again, rise under peak 2": { above: 0.02 },
    "old again, rise at the low rate": {},
    "new, peak 1 − low": { below: 0 },
    "new, peak 1 − from scratch": {},
    "new, peak 2 − peak 0.5": { below: 0 },
    "old, peak 2 − peak 0.5": { above: 0.1 },
    "new, spread over warm-ups": {},
    "new, spread over peaks": {},
    "old, kept − fresh, peak 1": {},
    "new, kept − fresh, peak 1": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const data = sharing(lab, ["old", "new"], 800, 32, seed);
      const old = data.split(" ").find((word) => word.startsWith("old=") && word.includes("-train"))!;
      const first = `${lab.fresh(SHARED)} --data ${old} --batch-size 16 --lr 0.01 --warmup 10 --min-ratio 0.1`;
      await lab.script("train", `${first} --steps 200 --seed ${seed} --save-every 0 --keep-state -o base/`);
      const sweep = "--rewarm-warmups 0,0.02,0.1 --rewarm-peaks 0.5,1,2 --rewarm-state base-state";
      const { of, spread } = await probed(lab, data, `${sweep} --rewarm-new new`);
      const again = await probed(lab, data, "--rewarm-warmups 0.02 --rewarm-peaks 2 --rewarm-new old");
      const [half, one, two] = [0.005, 0.01, 0.02].map((peak) => of("re-warmed", peak)) as [
        ReturnType<typeof of>,
        ReturnType<typeof of>,
        ReturnType<typeof of>,
      ];
      const kept = of("re-warmed", 0.01, "kept");
      return {
        "old again, rise under peak 2": again.of("re-warmed", 0.02)("old_rise"),
        "old again, rise at the low rate": again.of("low", 0.001)("old_rise"),
        "new, peak 1 − low": one("new_after") - of("low", 0.001)("new_after"),
        "new, peak 1 − from scratch": one("new_after") - of("scratch", 0.01)("new_after"),
        "new, peak 2 − peak 0.5": two("new_after") - half("new_after"),
        "old, peak 2 − peak 0.5": two("old_after") - half("old_after"),
        "new, spread over warm-ups": spread.warmups,
        "new, spread over peaks": spread.peaks,
        "old, kept − fresh, peak 1": kept("old_after") - one("old_after"),
        "new, kept − fresh, peak 1": kept("new_after") - one("new_after"),
      };
    }),
});
