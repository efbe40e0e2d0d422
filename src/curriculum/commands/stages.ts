/** `curriculum stages`: a run of several scripts as one plan. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Context, Outcome } from "../../cli/context.ts";
import { scriptFile, understood } from "../../cli/definitions.ts";
import { readText } from "../../cli/sources.ts";
import { UserError } from "../../errors.ts";
import { quote } from "../../text/quote.ts";
import { table } from "../../text/table.ts";
import type { STAGES } from "../options.ts";
import { type Cost, checkBudget, costsOf, totalOf } from "../stages/cost.ts";
import { type PlannedStage, planStages } from "../stages/plan.ts";
import { checkFolder, clear, digestOf, readsOf, type State, stateOf, writeRecord } from "../stages/record.ts";
import { runStage } from "../stages/run-stage.ts";
import { parseStages } from "../stages/stage-file.ts";

type StagesContext = Context<typeof STAGES>;

/** `NAME=VALUE`, several of them. Throws UserError for another form. */
function valuesOf(given: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new UserError(`--value ${text} should be NAME=VALUE`, "for example --value rate=1e-4");
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

function textOf(file: string): string {
  try {
    return readText(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file}: no such file`, "curriculum stages takes a YAML file of stages");
  }
}

/** How far each stage is; one after a stage that runs is not known before. */
async function statesOf(stages: readonly PlannedStage[]): Promise<State[]> {
  const states: State[] = [];
  for (const stage of stages) {
    const isAfter = stages.some(
      ({ name }, i) => states[i] !== undefined && states[i] !== "done" && stage.after.includes(name),
    );
    const state = await stateOf(stage, await readsOf(stage));
    states.push(isAfter && state === "done" ? "changed" : state);
  }
  return states;
}

const amount = (value: number | undefined, trains: boolean): string => {
  if (value === undefined) return trains ? "?" : "";
  return value >= 1e5 ? value.toExponential(2) : `${value}`;
};

const SAID: Record<State, string> = { new: "to run", stopped: "goes on", changed: "runs anew", done: "done" };

/** The table of what is to come, and its commands. */
function planText(stages: readonly PlannedStage[], costs: readonly Cost[], states: readonly State[]): string {
  const total = totalOf(costs);
  const lines = stages.map(({ name, words }, i) => {
    const { trains, steps, tokens, flops } = costs[i]!;
    return [name, words[0]!, amount(steps, trains), amount(tokens, trains), amount(flops, trains), SAID[states[i]!]];
  });
  const head = ["stage", "by", "steps", "tokens, at most", "FLOPs, at most", ""];
  const sum = ["in all", "", amount(total.steps, false), amount(total.tokens, false), amount(total.flops, false), ""];
  const commands = stages.map(
    ({ name, words, title }) => `${name}: ${title ? `${title}: ` : ""}${words.map(quote).join(" ")}`,
  );
  return `${table([head, ...lines, sum], { align: "llrrrl" })}\n\n${commands.join("\n")}`;
}

export async function stages(context: StagesContext): Promise<Outcome> {
  const { args, options, dryRun, print, json, info } = context;
  const [file = ""] = args;
  const written = await parseStages(textOf(file), file);
  const to = (options.to ?? written.to ?? basename(file).replace(/\.\w+$/, "")).replace(/(?<=.)\/+$/, "");
  const planned = await planStages({ file: written, to, values: valuesOf(options.value), understand: understood });
  for (const stage of planned) checkFolder(stage);
  const costs = await costsOf(planned);
  checkBudget(written.budget, planned, costs);
  const states = await statesOf(planned);
  const about = planned.map(({ name, words, folder, makes }, i) => {
    const { trains, ...cost } = costs[i]!;
    return { name, state: states[i]!, words, makes: join(folder, makes), ...cost };
  });
  if (dryRun) {
    json({ to, stages: about, total: totalOf(costs) });
    print(planText(planned, costs, states));
    return {};
  }
  const { steps, tokens, flops } = totalOf(costs);
  const left = states.filter((state) => state !== "done").length;
  const known = `${steps} steps, at most ${amount(tokens, false)} tokens and ${amount(flops, false)} FLOPs as far as it is known`;
  info(`${planned.length} stages, ${left} of them to run: ${known}`);
  for (const [i, stage] of planned.entries()) await follow(context, stage, `${i + 1}/${planned.length} ${stage.name}`);
  const results = planned.filter(({ understood }) => understood?.output === "text");
  for (const { folder, makes } of results) print(readFileSync(join(folder, makes), "utf8").trimEnd());
  json({ to, stages: about, total: totalOf(costs) });
  return { output: to };
}

/** Runs a stage unless it is done, and records it. */
async function follow({ info, quiet, signal, log, version, grace }: StagesContext, stage: PlannedStage, title: string) {
  signal.throwIfAborted();
  const reads = await readsOf(stage);
  const state = await stateOf(stage, reads);
  log.event("stage", { stage: stage.name, state, words: stage.words });
  if (state === "done") return info(`stage ${title}: done already`);
  info(`stage ${title}: ${stage.title ?? stage.words.map(quote).join(" ")}`);
  if (state === "changed") clear(stage);
  const record = { stage: stage.name, words: stage.words, reads, version };
  writeRecord(stage, { ...record, made: null, seconds: null });
  grace(600);
  const began = performance.now();
  await runStage(stage, { quiet, signal, isResumed: state === "stopped", scriptFile });
  const made = await digestOf(join(stage.folder, stage.makes));
  if (made === "")
    throw new UserError(
      `stage ${stage.name} ended without ${join(stage.folder, stage.makes)}`,
      "does it write what makes: says?",
      1,
    );
  writeRecord(stage, { ...record, made, seconds: (performance.now() - began) / 1000 });
}
