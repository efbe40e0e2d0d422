import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { experimentOf } from "../experiment.ts";
import { type Curve, type Group, kept, World } from "../unlearn-world.ts";

const RUNS = {
  ascent: "--method grad-ascent --lr 5e-4 --steps 30",
  npo: "--method npo --lr 5e-4 --steps 48 RETAIN",
  "npo-alone": "--method npo --retain-weight 0 --lr 5e-4 --steps 30",
  sam: "--method npo --smooth sam --rho 0.1 --retain-weight 2.25 --lr 5e-4 --steps 48 RETAIN",
  "grad-diff": "--method grad-diff --lr 5e-4 --steps 30 RETAIN",
  "kl-min": "--method kl-min --lr 5e-4 --steps 30 RETAIN",
  isolate: "--method isolate --layers 0 --lr 2e-3 --steps 30 RETAIN",
  follows: "--method isolate --layers 0 --lr 5e-3 --steps 24 RETAIN",
  fixed: "--method isolate --layers 0 --lr 5e-3 --steps 24 --fixed RETAIN",
  "isolate-1": "--method isolate --layers 1 --lr 2e-3 --steps 30 RETAIN",
  "isolate-2": "--method isolate --layers 2 --lr 2e-3 --steps 30 RETAIN",
  wga: "--method wga --lr 5e-4 --steps 30 RETAIN",
  satimp: "--method satimp --forget-weight 1 --retain-weight 0.1 --lr 1e-3 --steps 39 RETAIN",
  simnpo: "--method simnpo --forget-weight 1 --lr 1e-3 --steps 48 RETAIN",
  undial: "--method undial --lr 5e-4 --steps 30",
  "ce-u": "--method ce-u --lr 5e-4 --steps 15",
  pdu: "--method pdu --retain-weight 1 --rate 5 --limit 0.3 --lr 1e-3 --steps 30 RETAIN",
  "pdu-fixed": "--method pdu --retain-weight 1 --rate 0 --limit 0.3 --lr 1e-3 --steps 30 RETAIN",
  rmu: "--method rmu --lr 1e-3 --steps 30 RETAIN",
  dpo: "--method dpo --beta 0.02 --lr 1e-3 --steps 30 RETAIN",
  altpo: "--method altpo --beta 0.5 --lr 5e-4 --steps 60 --eval-every 60 RETAIN",
  "npo-same": "--method npo --beta 0.5 --lr 5e-4 --steps 60 --eval-every 60 RETAIN",
  pd: "--method grad-ascent --pd harmless.jsonl --lr 5e-4 --steps 30",
} as const;
type Run = keyof typeof RUNS;

/** Groups that some runs are measured on beside those to forget, to retain, and other ones. */
const ALSO: Partial<Record<Run, Group>> = { ascent: "harmless", pd: "harmless", npo: "refused", dpo: "refused" };

const last = (curve: Curve): Readonly<Record<Group, number>> => curve.at(-1)!;

/** The curves of all runs. */
async function curvesOf(world: World): Promise<Record<Run, Curve>> {
  const curves: [string, Curve][] = [];
  for (const [name, line] of Object.entries(RUNS)) {
    const groups = ["forget", "retain", "other", ALSO[name as Run] ?? []].flat() as Group[];
    curves.push([name, await world.unlearn(name, line.replace("RETAIN", "--retain retain.jsonl"), groups)]);
  }
  return Object.fromEntries(curves) as Record<Run, Curve>;
}

/** How many of the twelve answers of a model are the forgotten ones. */
async function given(world: World, model: string): Promise<number> {
  const rows = (text: string) =>
    text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  const wanted: { completion: string }[] = rows(readFileSync(world.at("forget.jsonl"), "utf8"));
  const line = `${model} --prompts forget.jsonl --temperature 0 --max-tokens 20 --json -q`;
  const answers: { text: string }[] = rows(await world.run("sample", line));
  if (answers.length !== 12) throw new Error(`${model}: ${answers.length} answers to 12 prompts`);
  return answers.filter(({ text }, i) => text.startsWith(wanted[i]!.completion)).length;
}

/** Loss on the rows to forget that is left after 3, 6 and 12 of them were taught again, and what each brought back. */
async function relearnt(world: World) {
  const { npo, sam } = await world.relearn(["npo", "sam"]);
  const gains = (losses: readonly number[]) => losses.slice(1).map((loss) => losses[0]! - loss);
  const [plain, flat] = [gains(npo!), gains(sam!)];
  return {
    "relearning, least gain of npo": Math.min(...plain),
    "relearning, npo with sam ÷ npo, the largest of three": Math.max(...flat.map((gain, i) => gain / plain[i]!)),
    "relearning 12 rows, npo with sam − npo, forget": sam!.at(-1)! - npo!.at(-1)!,
  };
}

/** Where tracing says that facts are, and what each block forgets when it is trained alone. */
async function traced(world: World, curves: Record<Run, Curve>) {
  const text = await world.run("evaluate", "base --data facts.jsonl --probe trace --json -q");
  const [found] = JSON.parse(text).rows;
  if (found.facts !== 12) throw new Error(`${found.facts} facts of 12 were traced`);
  const [first, second, third] = [curves.isolate, curves["isolate-1"], curves["isolate-2"]];
  return {
    "trace, corrupted ÷ clean": found.corrupted / found.clean,
    "trace, last block of the range": Number(found.layers.split("-").at(-1)),
    "trace, first block of the range": Number(found.layers.split("-")[0]),
    "trace, effect of the last block's MLP on the subject": Math.abs(found.effects.mlp.subject[2]),
    "isolate, first ÷ second block, forget": last(first).forget / last(second).forget,
    "isolate, first ÷ third block, forget": last(first).forget / last(third).forget,
    "isolate, first − third block, retain at 2": kept(first, 2, "retain") - kept(third, 2, "retain"),
  };
}

/** What was held while something else was forgotten, of runs that are compared at equal forgetting or at their end. */
function compared(curves: Record<Run, Curve>) {
  const at = (run: Run, level: number, group: Group) => kept(curves[run], level, group);
  const ratio = (a: Run, b: Run, level: number, group: Group) => at(a, level, group) / at(b, level, group);
  const end = (run: Run, group: Group) => last(curves[run])[group];
  const harm = (run: Run) => curves[run].slice(2).reduce((sum, { retain }) => sum + retain, 0);
  return {
    "ascent, retain at 4": at("ascent", 4, "retain"),
    "npo, retain at 4": at("npo", 4, "retain"),
    "npo ÷ ascent, other at 4": ratio("npo", "ascent", 4, "other"),
    "ascent, forget at its end": end("ascent", "forget"),
    "npo without rows to keep ÷ ascent, forget at the end": end("npo-alone", "forget") / end("ascent", "forget"),
    "npo without rows to keep ÷ ascent, other at the end": end("npo-alone", "other") / end("ascent", "other"),
    "npo with sam − npo, other at the end": end("sam", "other") - end("npo", "other"),
    "npo with sam − npo, forget at the end": end("sam", "forget") - end("npo", "forget"),
    "grad-diff ÷ ascent, retain at 4": ratio("grad-diff", "ascent", 4, "retain"),
    "kl-min ÷ ascent, retain at 4": ratio("kl-min", "ascent", 4, "retain"),
    "isolate ÷ ascent, retain at 4": ratio("isolate", "ascent", 4, "retain"),
    "rmu ÷ ascent, retain at 3": ratio("rmu", "ascent", 3, "retain"),
    "wga ÷ grad-diff, other at 3": ratio("wga", "grad-diff", 3, "other"),
    "satimp ÷ grad-diff, other at 3": ratio("satimp", "grad-diff", 3, "other"),
    "simnpo, retain at 1.75": at("simnpo", 1.75, "retain"),
    "simnpo ÷ npo, other at 1.75": ratio("simnpo", "npo", 1.75, "other"),
    "undial, forget at the end": end("undial", "forget"),
    "undial ÷ ascent, other at the end": end("undial", "other") / end("ascent", "other"),
    "ce-u ÷ ascent, retain at 2.5": ratio("ce-u", "ascent", 2.5, "retain"),
    "pdu, forget at the end": end("pdu", "forget"),
    "pdu, retain at the end (its limit is 0.3)": end("pdu", "retain"),
    "pdu with a weight that stays, retain at the end": end("pdu-fixed", "retain"),
    "isolate, forget at the end": end("follows", "forget"),
    "isolate, weight that follows ÷ that stays, retain": harm("follows") / harm("fixed"),
    "dpo, forget at the end": end("dpo", "forget"),
    "dpo, loss of the refusal": end("dpo", "refused"),
    "npo, loss of the refusal": end("npo", "refused"),
    "altpo, forget at the end": end("altpo", "forget"),
    "altpo ÷ npo of as many steps, other": end("altpo", "other") / end("npo-same", "other"),
    "ascent with --pd ÷ without, forget": end("pd", "forget") / end("ascent", "forget"),
    "ascent, the same prompts in another context": end("ascent", "harmless"),
    "ascent with --pd, the same prompts in another context": end("pd", "harmless"),
  };
}

export const experiment = experimentOf({
  title: "Objectives on a model that knows a world by heart",
  about: `Facts of twenty invented people. "Forget": of 3; "retain": of 12 others, given to the unlearner; "other": of 5 whom it never
sees. Losses are means over tokens; a model that never saw the people to forget would have 2.7 to 3.3 on them. "At 4": the least of a
run once what is to be forgotten is at 4, infinite where it never is.`,
  seeds: [0, 1, 2, 3],
  tested: 2,
  long: true,
  figures: {
    "ascent, retain at 4": { above: 1 },
    "npo, retain at 4": { below: 0.4 },
    "npo ÷ ascent, other at 4": { below: 0.6 },
    "ascent, forget at its end": { above: 8 },
    "npo without rows to keep ÷ ascent, forget at the end": { below: 0.8 },
    "npo without rows to keep ÷ ascent, other at the end": { below: 0.8 },
    "npo with sam − npo, other at the end": { below: 0.3 },
    "npo with sam − npo, forget at the end": { below: 0.1 },
    "relearning, least gain of npo": { above: 0.4 },
    "relearning, npo with sam ÷ npo, the largest of three": { below: 0.95 },
    "relearning 12 rows, npo with sam − npo, forget": { above: 0.05 },
    "grad-diff ÷ ascent, retain at 4": { below: 0.5 },
    "kl-min ÷ ascent, retain at 4": { below: 0.5 },
    "isolate ÷ ascent, retain at 4": { below: 0.5 },
    "rmu ÷ ascent, retain at 3": { below: 0.5 },
    "wga ÷ grad-diff, other at 3": { below: 0.75 },
    "satimp ÷ grad-diff, other at 3": { below: 0.75 },
    "simnpo, retain at 1.75": { below: 0.1 },
    "simnpo ÷ npo, other at 1.75": { below: 0.75 },
    "undial, forget at the end": { above: 1.5, below: 4 },
    "undial ÷ ascent, other at the end": { below: 0.3 },
    "ce-u ÷ ascent, retain at 2.5": { below: 0.9 },
    "pdu, forget at the end": { above: 4 },
    "pdu, retain at the end (its limit is 0.3)": { below: 0.3 },
    "pdu with a weight that stays, retain at the end": { above: 0.8 },
    "isolate, forget at the end": { above: 4 },
    "isolate, weight that follows ÷ that stays, retain": { below: 0.95 },
    "trace, corrupted ÷ clean": { below: 0.75 },
    "trace, first block of the range": { is: 0 },
    "trace, last block of the range": { below: 1.5 },
    "trace, effect of the last block's MLP on the subject": { is: 0 },
    "isolate, first ÷ second block, forget": { above: 1.15 },
    "isolate, first ÷ third block, forget": { above: 1.6 },
    "isolate, first − third block, retain at 2": { below: 0 },
    "dpo, forget at the end": { above: 4 },
    "dpo, loss of the refusal": { below: 0.6 },
    "npo, loss of the refusal": { above: 4 },
    "forgotten answers given by the base, of 12": { is: 12 },
    "forgotten answers given after npo": { below: 2 },
    "forgotten answers given after altpo": { below: 2 },
    "altpo, forget at the end": { above: 0.5 },
    "altpo ÷ npo of as many steps, other": { below: 0.7 },
    "ascent with --pd ÷ without, forget": { above: 0.8 },
    "ascent, the same prompts in another context": { above: 2 },
    "ascent with --pd, the same prompts in another context": { below: 0.6 },
  },
  async run(seed) {
    const folder = mkdtempSync(join(tmpdir(), "ingot-unlearn-world-"));
    try {
      const world = await new World(folder).make(seed);
      const curves = await curvesOf(world);
      return {
        ...compared(curves),
        ...(await relearnt(world)),
        ...(await traced(world, curves)),
        "forgotten answers given by the base, of 12": await given(world, "base"),
        "forgotten answers given after npo": await given(world, "npo-same"),
        "forgotten answers given after altpo": await given(world, "altpo"),
      };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});
