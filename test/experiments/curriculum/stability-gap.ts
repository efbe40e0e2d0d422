/** How deep old and new abilities fall on the way into a new language, and what the recipe against it changes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gapOf } from "../../../src/evaluate/short-runs/gap.ts";
import { inLab, Language, rowOf } from "../curriculum-lab.ts";
import { RUN, SHARED } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";
import { uniform } from "../support.ts";

export const experiment = experimentOf({
  title: "The stability gap on the way into a new language",
  about: `Two languages over the same 16 symbols, told apart by the first token; of the new one's 800 rows half are symbols at random. A decoder of
one layer learns the old one in 150 steps of 16 rows, then the new one in 100: (a) all rows, (b) a drawn quarter again and again, (c) the quarter
that a model of clean rows finds likeliest, (d) the same with 0.3 of the old language (\`stable-cpt\`). The gap is the most that the old
loss rises. Held-out losses in nats, measured every 5 steps. *Old again* trains on the old rows alone: at the constant low rate
of the end, and at the peak. Against the card, clean rows without old ones make the gap deeper, as they teach the new language faster.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "gap of the old, a": {},
    "gap of the old, b − a": {},
    "gap of the old, c − a": {},
    "gap of the old, d − a": { below: -0.5 },
    "new at the end, b − a": {},
    "new at the end, c − a": { below: 0 },
    "new at the end, d − a": { below: 0.1 },
    "gap of the old, old again at the low rate": { below: 0.1 },
    "gap of the old, old again at the peak": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const speaking = (place: number) => {
        const language = new Language({ seed: 10 * seed + place, size: 16, sharpness: 12 });
        return (count: number, from: number) =>
          language.rows(count, 100 * seed + from + place, { prefix: [20 + place] });
      };
      const [first, second] = [speaking(0), speaking(1)];
      const next = uniform(1000 + seed);
      const noise = Array.from({ length: 400 }, () =>
        rowOf([21, ...Array.from({ length: 16 }, () => Math.floor(16 * next()))], 2),
      );
      const clean = second(400, 0);
      // Noise and rows of the language in turn.
      const rows = clean.flatMap((row, i) => [row, noise[i]!]);
      const held = { old: first(32, 50), new: second(32, 50) };
      const old = first(800, 0);
      const all = lab.groups({ old, new: rows }, held);
      const trusted = lab.rows("trusted", second(400, 70));
      const start = `${lab.fresh(SHARED)} ${all} ${RUN} --seed ${seed} --min-ratio 0.1`;
      const { losses: begun } = await lab.run(`${start} --steps 150 --method static --mixture 1,0`, "base/");
      await lab.script(
        "train",
        `${lab.fresh(SHARED)} --data ${trusted} ${RUN} --seed ${seed} --steps 150 --save-every 0 -o judge/`,
      );
      const pool = lab.rows("pool", rows);
      const choose = `curriculum select judge --data ${pool} --select-by lowest-loss --keep-rows 200`;
      const [script, ...words] = choose.split(" ");
      await lab.words(script!, [...words, "-o", "best.jsonl"]);
      const best = readFileSync(join(lab.folder, "best.jsonl"), "utf8").trim().split("\n");
      const some = {
        quarter: lab.groups({ old, new: rows.slice(0, 200) }, held),
        best: lab.groups({ old, new: best.map((line) => JSON.parse(line) as unknown) }, held),
      };
      const after = async (data: string, method: string, rate = RUN) => {
        const { course } = await lab.run(`base ${data} ${rate} --seed ${seed} --steps 100 --eval-every 5 ${method}`);
        const of = (group: "old" | "new") => {
          const own = course.filter((point) => point.group === group).map(({ step, value: loss }) => ({ step, loss }));
          return gapOf([{ step: 0, loss: begun[group]! }, ...own]);
        };
        return { gap: of("old").gap, new: of("new").after };
      };
      const alone = "--method static --mixture 0,1";
      const a = await after(all, alone);
      const b = await after(some.quarter, alone);
      const c = await after(some.best, alone);
      const d = await after(some.best, "--method stable-cpt --domain new --domain-share 0.7");
      const again = "--method static --mixture 1,0 --schedule constant";
      const low = await after(all, again, "--batch-size 16 --lr 0.001");
      const peak = await after(all, again, "--batch-size 16 --lr 0.01");
      return {
        "gap of the old, a": a.gap,
        "gap of the old, b − a": b.gap - a.gap,
        "gap of the old, c − a": c.gap - a.gap,
        "gap of the old, d − a": d.gap - a.gap,
        "new at the end, b − a": b.new - a.new,
        "new at the end, c − a": c.new - a.new,
        "new at the end, d − a": d.new - a.new,
        "gap of the old, old again at the low rate": low.gap,
        "gap of the old, old again at the peak": peak.gap,
      };
    }),
});
