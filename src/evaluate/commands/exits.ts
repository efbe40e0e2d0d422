/** `evaluate exits`: what rows cost that leave a classifier early, and how right they are. */
import { open } from "../../checkpoint/open.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { confidentExit, exitOf, meanCost, thresholdFor } from "../../run/exits/deciding.ts";
import { readExits } from "../../run/exits/exit-file.ts";
import { exitStates, type HeardRow, hearExits } from "../../run/exits/exit-rows.ts";
import { calibrationError } from "../../run/measuring/calibration.ts";
import { openModel } from "../../run/open-model.ts";
import { pooledFeatures } from "../../run/scoring/pooled-features.ts";
import { table } from "../../text/table.ts";
import type { EXITS } from "../options.ts";

/** How rows fare that leave at these exits. */
export function fare(heard: readonly HeardRow[], exits: readonly number[], costs: readonly number[]) {
  const said = heard.map((row, i) => row.said[exits[i]!]!);
  return {
    cost: meanCost(exits, costs),
    accuracy: said.filter(({ right }) => right).length / said.length,
    ece: calibrationError(said),
    exits: costs.map((_, exit) => exits.filter((own) => own === exit).length),
  };
}

export async function evaluateExits(context: Context<typeof EXITS>): Promise<Outcome> {
  const { options, signal, progress } = context;
  const warn = (text: string) => context.warn(text);
  const opened = await openModel(context.args[0] ?? "-", options, warn);
  context.onExit(() => opened.checkpoint.close());
  const parts = await open(options.exits, { warn });
  context.onExit(() => parts.close());
  const examples = await loadExamples(groupsOf(options.data, "--data", options.columns), opened.examples);
  if (context.dryRun) {
    context.print(`${examples.length} rows`);
    context.json({ rows: examples.length });
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { dtype: options.dtype, freeze: () => true });
  const sets = await readExits(model, parts);
  progress.start({ total: examples.length, unit: "rows" });
  const read = await pooledFeatures(model, examples, { signal, done: (rows) => progress.advance(rows) });
  progress.done();
  const labels = examples.map(({ label }) => label);
  const found = [];
  for (const { lambda, exits } of sets) {
    const { at, costs } = exits.plan;
    const heard = await hearExits(gpu, exits, exitStates(read, labels, at));
    const gated = fare(
      heard,
      heard.map(({ gates }) => exitOf(gates)),
      costs,
    );
    const threshold = thresholdFor(heard, costs, gated.cost);
    const confident = fare(
      heard,
      heard.map((row) => confidentExit(row, threshold)),
      costs,
    );
    const whole = fare(
      heard,
      heard.map(() => at.length),
      costs,
    );
    found.push({ lambda, gates: gated, confidence: { ...confident, threshold }, whole });
    exits.free();
  }
  model.free();
  const { costs } = sets[0]!.exits.plan;
  const cells = ({ cost, accuracy, ece, exits }: ReturnType<typeof fare>) => [
    ...[cost, accuracy, ece].map((value) => value.toFixed(3)),
    exits.join(" "),
  ];
  const rows = found.flatMap(({ lambda, gates, confidence }) => [
    [`gates, lambda ${lambda}`, ...cells(gates)],
    [`confidence >= ${confidence.threshold.toFixed(3)}`, ...cells(confidence)],
  ]);
  const header = ["rows leave by", "cost", "accuracy", "ECE", "rows at each exit"];
  context.print(table([header, ...rows, ["nothing: the whole model", ...cells(found[0]!.whole)]]));
  context.json({ rows: examples.length, costs, sets: found });
  return {};
}
