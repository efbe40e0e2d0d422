/** One rate over two data sets, against a cosine for each. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inLab, type Lab } from "../curriculum-lab.ts";
import { SHARED, sharing } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

/** Held-out losses of the two languages at the end of a run of `train`. */
async function trained(lab: Lab, model: string, line: string, out: string) {
  await lab.script("train", `${model} ${line} --save-every 0 --log ${out}.log -o ${out}/`);
  const events = readFileSync(join(lab.folder, `${out}.log`), "utf8")
    .trim()
    .split("\n");
  const last = events
    .map((text) => JSON.parse(text) as { event: string; group?: string; value: number })
    .filter(({ event, group }) => event === "eval" && group !== undefined)
    .slice(-2);
  const of = (name: string) => last.find(({ group }) => group === name)!.value;
  return { a: of("a"), b: of("b") };
}

export const experiment = experimentOf({
  title: "`infinite`: one rate over two data sets, against a cosine for each",
  about: `Two languages over the same 16 symbols, told apart by the first token, 800 rows each: 200 steps of 16 rows of A, then 100 of B, peak
0.01. *Cosine* begins anew for B; *constant* stays at the peak, *infinite* cools to a half of it over the first 100 steps; both go on with the
optimizer's states (\`--carry\`), and are annealed in the last 30 steps of B where that is said. Held-out losses in nats.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "A after A, infinite with a branch of 30 annealed steps − cosine": { below: 0.05 },
    "cosine, rise of A over B": {},
    "infinite − cosine, rise of A over B": {},
    "infinite − constant, rise of A over B": { below: 0 },
    "infinite, annealed − cosine, rise of A over B": {},
    "infinite, annealed − cosine, B": { below: 0.1 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const words = sharing(lab, ["a", "b"], 800, 32, seed).split(" ");
      const held = words
        .filter((word) => word.includes("-held"))
        .map((word) => `--eval-data ${word}`)
        .join(" ");
      const on = (name: string) => `--data ${words.find((word) => word.startsWith(`${name}=`))} ${held}`;
      const common = `--batch-size 16 --lr 0.01 --seed ${seed}`;
      const kinds = {
        cosine: { schedule: "--schedule cosine --warmup 10 --min-ratio 0.1", goesOn: false },
        constant: { schedule: "--schedule constant --warmup 10", goesOn: true },
        infinite: { schedule: "--schedule infinite --warmup 10 --cooldown 90", goesOn: true },
      };
      const course = async (name: keyof typeof kinds) => {
        const { schedule, goesOn } = kinds[name];
        const line = `${common} ${schedule}`;
        const first = await trained(lab, lab.fresh(SHARED), `${on("a")} ${line} --steps 200 --keep-state`, `${name}-a`);
        const next = `${on("b")} ${line} --steps 100 ${goesOn ? `--carry ${name}-a-state` : ""}`;
        return { first, second: await trained(lab, `${name}-a`, next, `${name}-b`) };
      };
      const cosine = await course("cosine");
      const constant = await course("constant");
      const infinite = await course("infinite");
      const carried = `${common} ${kinds.infinite.schedule} --carry infinite-a-state --anneal 30`;
      const branch = await trained(lab, "infinite-a", `${on("a")} ${carried} --steps 30`, "branch");
      const annealed = await trained(lab, "infinite-a", `${on("b")} ${carried} --steps 100`, "annealed");
      const rise = ({ first, second }: typeof cosine) => second.a - first.a;
      return {
        "A after A, infinite with a branch of 30 annealed steps − cosine": branch.a - cosine.first.a,
        "cosine, rise of A over B": rise(cosine),
        "infinite − cosine, rise of A over B": rise(infinite) - rise(cosine),
        "infinite − constant, rise of A over B": rise(infinite) - rise(constant),
        "infinite, annealed − cosine, rise of A over B": annealed.a - infinite.first.a - rise(cosine),
        "infinite, annealed − cosine, B": annealed.b - cosine.second.b,
      };
    }),
});
